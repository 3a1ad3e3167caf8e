"""Rows at random."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dapeng.core.kinds import splits
from dapeng.data.splits.base import TEST, VALIDATION, Fractions, need_rows, spread, uniform
from dapeng.data.table import Note

EXACT = 1_000_000
"""Up to so many rows the shares are exact; beyond, chance does it, and a row keeps its side as rows are appended."""
BLOCK = 1 << 20


@splits
class RandomSplit(Fractions):
    """At random, by a hash of the row's position."""

    by: Literal["random"] = "random"

    def assign(self, rows, cells, seed, target=None, *, given=None, notes: list[Note] | None = None) -> np.ndarray:
        shares = self.shares()
        if rows <= EXACT:
            need_rows(rows)
            return spread(np.argsort(uniform(0, rows, seed), kind="stable"), shares)
        return np.concatenate([self.block(start, min(BLOCK, rows - start), seed) for start in range(0, rows, BLOCK)])

    def block(self, start: int, rows: int, seed: int) -> np.ndarray:
        """(rows,) int8 for the rows from `start` on, without knowing how many there are."""
        train, validation, _ = self.shares()
        draw = uniform(start, rows, seed)
        return np.where(draw < train, 0, np.where(draw < train + validation, VALIDATION, TEST)).astype(np.int8)
