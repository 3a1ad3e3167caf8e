"""Rows at random."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dapeng.core.kinds import splits
from dapeng.data.kept import scratch
from dapeng.data.positions import ranges
from dapeng.data.splits.base import TEST, VALIDATION, Fractions, need_rows, spread, uniform
from dapeng.data.table import Note

EXACT = 1_000_000
"""Up to so many rows the shares are exact; beyond, chance does it, and a row keeps its side as rows are appended."""


@splits
class RandomSplit(Fractions):
    """At random, by a hash of the row's position."""

    by: Literal["random"] = "random"

    def assign(self, rows, cells, seed, target=None, *, given=None, notes: list[Note] | None = None) -> np.ndarray:
        shares = self.shares()
        if rows <= EXACT:
            need_rows(rows)
            return spread(np.argsort(uniform(0, rows, seed), kind="stable"), shares)
        sides = scratch(rows, np.int8)
        for at in ranges(rows):
            sides[at] = self.block(at.start, at.stop - at.start, seed)
        return sides

    def block(self, start: int, rows: int, seed: int) -> np.ndarray:
        """(rows,) int8 for the rows from `start` on, without knowing how many there are."""
        train, validation, _ = self.shares()
        draw = uniform(start, rows, seed)
        return np.where(draw < train, 0, np.where(draw < train + validation, VALIDATION, TEST)).astype(np.int8)
