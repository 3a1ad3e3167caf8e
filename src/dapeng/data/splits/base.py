"""What a split offers, and the draws behind all of them: a hash of (seed, row), never a generator with a state.

So a row's side depends on nothing but the seed and its place (or its group): not on the other columns, on how many
processes read, or on the size of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import Field

from dapeng.columns.base import one_array
from dapeng.core.errors import DataError, SpecError
from dapeng.core.kinds import SplitOptions
from dapeng.data.draws import GOLDEN, key, mix
from dapeng.data.table import Cells, Note

Column: TypeAlias = Callable[[str], Cells]
"""Gives a column's cells by its name."""

TRAIN, VALIDATION, TEST = 0, 1, 2


class Split(SplitOptions):
    """Which rows train (0), validate (1) and test (2)."""

    def assign(
        self,
        rows: int,
        cells: Column,
        seed: int,
        target: str | None = None,
        *,
        given: np.ndarray | None = None,
        notes: list[Note] | None = None,
    ) -> np.ndarray:
        """(rows,) int8 of 0 train, 1 validation, 2 test.

        cells: a column by name; asked only for what the split needs. target: the output column, for stratified splits.
        given: (rows,) int8, the part that each row came in, where the data came in parts. notes: grows by what is said.
        """
        raise NotImplementedError


class Fractions(Split):
    """A split by shares of the rows."""

    train: float = Field(0.8, gt=0, le=1)
    """Share of the rows to train on."""
    validation: float = Field(0.1, ge=0, lt=1)
    """Share of the rows to validate on."""
    test: float = Field(0.1, ge=0, lt=1)
    """Share of the rows to test on."""

    def shares(self) -> tuple[float, float, float]:
        """Train, validation and test, which must add up to 1."""
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise SpecError(
                f"data.split: the shares add up to {total:g}, not to 1",
                hint="such as train: 0.8, validation: 0.1, test: 0.1",
            )
        return self.train, self.validation, self.test


def draws(keys: np.ndarray, seed: int) -> np.ndarray:
    """(n,) uint64, uniform: a hash of each key under a seed."""
    with np.errstate(over="ignore"):
        return mix(keys.astype(np.uint64) * GOLDEN + key(seed))


def uniform(start: int, rows: int, seed: int) -> np.ndarray:
    """(rows,) float64 in [0, 1): the draws of the rows from position `start` on."""
    return (draws(np.arange(start, start + rows, dtype=np.uint64), seed) >> np.uint64(11)) * (1.0 / (1 << 53))


def codes(cells: Cells) -> tuple[np.ndarray, list[object]]:
    """(rows,) int64 position in the list of values, in order of appearance; missing cells are -1."""
    array = one_array(cells)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    encoded = array.dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return indices, encoded.dictionary.to_pylist()


def spread(order: np.ndarray, shares: tuple[float, float, float]) -> np.ndarray:
    """(rows,) int8: rows in this order are taken evenly, so each run of n rows gives its share to within one row."""
    sides = np.zeros(len(order), np.int8)
    held = order[_every(len(order), shares[1] + shares[2])]
    sides[held] = VALIDATION
    if shares[2]:
        sides[held[_every(len(held), shares[2] / (shares[1] + shares[2]))]] = TEST
    return sides


def _every(count: int, share: float) -> np.ndarray:
    """Positions 0..count-1, evenly spaced, `share` of them."""
    steps = np.floor(np.arange(count + 1) * min(share, 1.0) + 0.5 + 1e-9)
    return np.flatnonzero(np.diff(steps) > 0)


def need_rows(rows: int) -> None:
    if rows < 3:
        raise DataError(f"{rows} rows can't be split into train, validation and test", hint="give more rows")
