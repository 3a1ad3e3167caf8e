"""Metrics of boxes: average precision at overlaps of 0.5 to 0.95, by size, and precision, recall and F1 of what is told.

As COCO has them (`dapeng.columns.average_precision`). Each picture's matches are found once; a resample of pictures weighs them.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from dapeng.columns.average_precision import LEVELS, Found, Ranked, True_, ranked
from dapeng.columns.boxes import right_ones
from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, View, ratio

EVERY = "all"
SIZES = {
    EVERY: (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Areas in pixels of the picture as it came, as COCO cuts them."""


class BoxesView(View):
    """Boxes that were found beside the true ones. labels: how many there are. cut: score from which on a box is told."""

    task: ClassVar[str] = "boxes"

    def __init__(self, found: list[Found], true: list[True_], labels: int, cut: float):
        self.found, self.true, self.labels, self.cut = found, true, labels, cut
        self._ranked: dict[tuple[int, str], Ranked] = {}

    @property
    def rows(self) -> int:
        return len(self.true)

    @property
    def curves(self) -> int:
        return max(1, sum(len(f[1]) for f in self.found) // max(self.rows, 1))

    def take(self, rows: np.ndarray) -> BoxesView:
        return BoxesView([self.found[r] for r in rows], [self.true[r] for r in rows], self.labels, self.cut)

    def same(self, other: View) -> bool:
        alike = isinstance(other, BoxesView) and all(len(a[1]) == len(b[1]) for a, b in zip(self.found, other.found))
        return alike and all(
            np.allclose(x, y, rtol=1e-4, atol=1e-4)
            for a, b in zip(self.found, other.found)  # type: ignore[union-attr]
            for x, y in zip(a, b)
        )

    def of_label(self, label: int, size: str = EVERY) -> Ranked:
        """The boxes of one label, surest first, with what they match; worked out once."""
        if (label, size) not in self._ranked:
            self._ranked[label, size] = ranked(self.found, self.true, label, size=SIZES[size])
        return self._ranked[label, size]

    @cached_property
    def told(self) -> np.ndarray:
        """(3, N) of each row: boxes told, those of them that are right, and true ones."""
        rows = []
        for found, true in zip(self.found, self.true):
            told = found[1] >= self.cut
            right = right_ones((found[0][told], found[1][told], found[2][told]), true)
            rows.append((told.sum(), right.sum(), len(true[1])))
        return np.array(rows, np.float64).reshape(-1, 3).T


class _Boxes(Metric):
    fits: ClassVar[tuple[str, ...]] = ("boxes",)


class _Average(_Boxes):
    """The mean over labels and levels of overlap."""

    ranks: ClassVar[bool] = True
    levels: ClassVar[tuple[int, ...]] = tuple(range(len(LEVELS)))
    size: ClassVar[str] = EVERY

    def applies(self, view: View) -> bool:
        assert isinstance(view, BoxesView)
        return any(view.of_label(c, self.size).true.any() for c in range(view.labels))

    def values(self, drawn: Drawn) -> np.ndarray:
        view = drawn.view
        assert isinstance(view, BoxesView)
        each = [view.of_label(c, self.size).average(at, drawn.counts) for c in range(view.labels) for at in self.levels]
        known = ~np.isnan(each)
        return ratio(np.where(known, each, 0.0).sum(0), known.sum(0))


@metrics
class Ap50(_Average):
    """Average precision where a box is right from an overlap of 0.5 on, the mean over labels (mAP50)."""

    type: Literal["ap50"] = "ap50"
    title: ClassVar[str] = "mAP50"
    levels: ClassVar[tuple[int, ...]] = (0,)


@metrics
class Ap(_Average):
    """Average precision, the mean over labels and over overlaps of 0.5 to 0.95 in steps of 0.05 (mAP50-95)."""

    type: Literal["ap50_95"] = "ap50_95"
    title: ClassVar[str] = "mAP50-95"


@metrics
class ApSmall(_Average):
    """mAP50-95 of boxes of less than 32 x 32 pixels."""

    type: Literal["ap_small"] = "ap_small"
    title: ClassVar[str] = "mAP50-95, small boxes"
    size: ClassVar[str] = "small"


@metrics
class ApMedium(_Average):
    """mAP50-95 of boxes of 32 x 32 to 96 x 96 pixels."""

    type: Literal["ap_medium"] = "ap_medium"
    title: ClassVar[str] = "mAP50-95, medium boxes"
    size: ClassVar[str] = "medium"


@metrics
class ApLarge(_Average):
    """mAP50-95 of boxes of more than 96 x 96 pixels."""

    type: Literal["ap_large"] = "ap_large"
    title: ClassVar[str] = "mAP50-95, large boxes"
    size: ClassVar[str] = "large"


@metrics
class BoxF1(_Boxes):
    """F1 of the boxes that are told, at an overlap of 0.5."""

    type: Literal["box_f1"] = "box_f1"
    title: ClassVar[str] = "F1 of boxes"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, BoxesView)
        said, right, true = (drawn.counts @ drawn.view.told.T).T
        return ratio(2 * right, said + true, 0.0)


@metrics
class BoxPrecision(_Boxes):
    """Share of the told boxes that are right, at an overlap of 0.5."""

    type: Literal["box_precision"] = "box_precision"
    title: ClassVar[str] = "Precision of boxes"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, BoxesView)
        said, right, _ = (drawn.counts @ drawn.view.told.T).T
        return ratio(right, said, 0.0)


@metrics
class BoxRecall(_Boxes):
    """Share of the true boxes that are told, at an overlap of 0.5."""

    type: Literal["box_recall"] = "box_recall"
    title: ClassVar[str] = "Recall of boxes"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, BoxesView)
        _, right, true = (drawn.counts @ drawn.view.told.T).T
        return ratio(right, true, 0.0)
