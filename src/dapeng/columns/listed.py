"""Several numbers in one cell: what columns of such cells have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from dapeng.columns.base import Cells
from dapeng.columns.number import mostly

T = TypeVar("T")
GUESSED = 200
"""Cells that are looked at to tell what they hold."""
CONSTANT = 1e-6
"""Deviation, as a share of the size of what is measured, under which it is constant."""


def nested(kind: pa.DataType) -> bool:
    """Whether cells are lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def written(cells: Cells) -> bool:
    """Whether cells are texts that are more than a number each."""
    kind = cells.type
    return (pa.types.is_string(kind) or pa.types.is_large_string(kind)) and not mostly(cells[:GUESSED])


def first(cells: Cells, read: Callable[[object], T | None]) -> list[T]:
    """What the first cells that have a value hold; nothing if one of them can't be read."""
    try:
        found = [read(c) for c in cells.drop_null()[:GUESSED].to_pylist()]
    except ValueError:
        return []
    return [f for f in found if f is not None]


class Moments(NamedTuple):
    """Of each of D elements: how many values, their mean, and the sum of squares about it. Chan et al., 1979."""

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def none(cls, size: int) -> Moments:
        return cls(np.zeros(size), np.zeros(size), np.zeros(size))

    @classmethod
    def of(cls, x: np.ndarray) -> Moments:
        """Of values (N, D), nan where there is none."""
        known = ~np.isnan(x)
        count = known.sum(0)
        mean = np.where(known, x, 0.0).sum(0) / np.maximum(count, 1)
        return cls(count, mean, np.where(known, (x - mean) ** 2, 0.0).sum(0))

    def merged(self, other: Moments) -> Moments:
        total = np.maximum(self.count + other.count, 1)
        shift = other.mean - self.mean
        squares = self.squares + other.squares + shift * shift * self.count * other.count / total
        return Moments(self.count + other.count, self.mean + shift * other.count / total, squares)

    @property
    def deviation(self) -> np.ndarray:
        """(D,)"""
        return np.sqrt(self.squares / np.maximum(self.count, 1))


def divisors(deviation: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What standardising divides by: the deviation, or 1 for what is constant."""
    return np.where(deviation > CONSTANT * np.maximum(np.abs(mean), 1e-30), deviation, 1.0)
