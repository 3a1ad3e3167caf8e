"""Rows at random within each class, so that every part has the classes in the same proportions."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dapeng.core.errors import SpecError
from dapeng.core.kinds import splits
from dapeng.data.splits.base import TRAIN, Cells, Fractions, codes, draws, need_rows, spread
from dapeng.data.table import Note


@splits
class StratifiedSplit(Fractions):
    """At random within each class of the target; a class of one sample stays in train."""

    by: Literal["stratified"] = "stratified"
    column: str | None = None
    """Column whose values are kept in proportion; the target if not given."""

    def assign(self, rows, cells, seed, target=None, *, given=None, notes: list[Note] | None = None) -> np.ndarray:
        column = self.column or target
        if column is None:
            raise SpecError(
                "data.split: stratified needs a column", hint="name it: split: {by: stratified, column: NAME}"
            )
        need_rows(rows)
        return stratify(cells(column), seed, self.shares(), column, notes)


def stratify(
    cells: Cells, seed: int, shares: tuple[float, float, float], column: str, notes: list[Note] | None
) -> np.ndarray:
    """(rows,) int8. Each class gives each part its share to within one row; a class never leaves train altogether."""
    classes, values = codes(cells)
    order = np.lexsort((draws(np.arange(len(classes)), seed), classes))
    counts = np.bincount(classes + 1, minlength=len(values) + 1)
    alone = np.flatnonzero(counts == 1) - 1
    kept = order[~np.isin(classes[order], alone)]
    sides = np.zeros(len(classes), np.int8)
    sides[kept] = spread(np.arange(len(kept)), shares)
    _keep_in_train(sides, classes, order, len(values))
    if len(alone) and notes is not None:
        some = ", ".join(repr(values[i]) if i >= 0 else "(missing)" for i in alone[:5])
        what = f"classes of {column!r} with one row, kept in train: {some}" + (", ..." if len(alone) > 5 else "")
        notes.append(Note("repair", column, what, len(alone)))
    return sides


def _keep_in_train(sides: np.ndarray, classes: np.ndarray, order: np.ndarray, count: int) -> None:
    """Where a small class lies wholly in the other parts, its first row goes back to train."""
    inside = np.bincount(classes[sides == TRAIN] + 1, minlength=count + 1)
    total = np.bincount(classes + 1, minlength=count + 1)
    for lost in np.flatnonzero((inside == 0) & (total > 0)) - 1:
        sides[order[np.searchsorted(classes[order], lost)]] = TRAIN
