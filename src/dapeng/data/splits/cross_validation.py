"""Every row tests once: for tables that are too small to spare a part."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from dapeng.core.errors import DataError
from dapeng.core.kinds import splits
from dapeng.data.splits.base import TEST, TRAIN, VALIDATION, Column, Split, codes, draws
from dapeng.data.table import Note


@splits
class CrossValidation(Split):
    """K folds, each of which tests once. Folds keep the classes of a target in proportion, and groups whole."""

    by: Literal["cross_validation"] = "cross_validation"
    folds: int = Field(5, ge=2, le=100)
    """How many."""
    stratified: bool = True
    """Keep the classes of a category target in proportion."""
    group: str | None = None
    """Column whose groups stay whole."""

    def folds_of(self, rows: int, cells: Column, seed: int, target: str | None = None) -> np.ndarray:
        """(rows,) int8: the fold in which each row tests. `target` only where it is a category."""
        if rows < self.folds:
            raise DataError(f"data.split: {rows} rows can't make {self.folds} folds", hint="set data.split.folds lower")
        classes = codes(cells(target))[0] if target and self.stratified else np.zeros(rows, np.int64)
        if self.group is not None:
            return self._grouped(codes(cells(self.group)), classes, seed)
        order = np.lexsort((draws(np.arange(rows), seed), classes))
        folds = np.empty(rows, np.int8)
        folds[order] = np.arange(rows) % self.folds  # dealt out like cards, class after class
        return folds

    def _grouped(self, groups: tuple[np.ndarray, list[object]], classes: np.ndarray, seed: int) -> np.ndarray:
        """Largest groups first, each to the fold that has the fewest rows of its commonest class."""
        places, values = groups
        places = places + 1
        if len(np.unique(places)) < self.folds:
            raise DataError(
                f"data.split: {len(values)} groups can't make {self.folds} folds", hint="set data.split.folds lower"
            )
        sizes = np.bincount(places, minlength=len(values) + 1)
        pairs, counts = np.unique(np.stack([places, classes]), axis=1, return_counts=True)
        by_count = np.lexsort((counts, pairs[0]))
        commonest = np.zeros(len(sizes), np.int64)
        commonest[pairs[0][by_count]] = pairs[1][by_count]  # the last one written is the commonest
        load = np.zeros((int(classes.max(initial=0)) + 2, self.folds))
        total = np.zeros(self.folds)
        fold_of = np.zeros(len(sizes), np.int8)
        for group in np.lexsort((draws(np.arange(len(sizes)), seed), -sizes)):
            fold = int(np.lexsort((total, load[commonest[group]]))[0])
            fold_of[group] = fold
            load[commonest[group], fold] += sizes[group]
            total[fold] += sizes[group]
        return fold_of[places]

    def sides(self, folds: np.ndarray, fold: int) -> np.ndarray:
        """(rows,) int8: the parts while `fold` tests; the fold after it validates."""
        out = np.full(len(folds), TRAIN, np.int8)
        out[folds == (fold + 1) % self.folds] = VALIDATION if self.folds > 2 else TRAIN
        out[folds == fold] = TEST
        return out

    def assign(self, rows, cells, seed, target=None, *, given=None, notes: list[Note] | None = None) -> np.ndarray:
        """The parts while the first fold tests."""
        return self.sides(self.folds_of(rows, cells, seed, target), 0)
