"""Metrics of label pictures: Dice and overlap over the pixels of all rows, and how far outlines are apart.

Each row's pixels are counted once; a resample of rows weighs these counts. Dice and overlap (IoU, Jaccard): Taha, Hanbury: Metrics for
evaluating 3D medical image segmentation, 2015 (https://doi.org/10.1186/s12880-015-0068-x), and the 95th percentile of the Hausdorff distance.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.mask import VOID, confusions, dice
from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, View, ratio

MOST_OUTLINED = 200
"""Rows whose outlines are compared: each takes a tenth of a second."""


class MaskView(View):
    """Codes (N, Y, X), of volumes (N, Z, Y, X), that were said beside the true ones.

    spacing: (N, 1) pixels of the picture as it came to one as it is read; or (N, 3) in the column's unit of length from one voxel to the next.
    """

    task: ClassVar[str] = "mask"

    def __init__(self, codes: np.ndarray, wanted: np.ndarray, labels: int, background: int, spacing: np.ndarray):
        self.codes, self.wanted = np.asarray(codes).astype(np.uint8), np.asarray(wanted).astype(np.uint8)
        self.labels, self.background = labels, background
        self.spacing = np.asarray(spacing, np.float64).reshape(len(self.wanted), -1)

    @property
    def rows(self) -> int:
        return len(self.wanted)

    @property
    def curves(self) -> int:
        return self.labels

    @property
    def asked(self) -> list[int]:
        """Labels that means are over: all but the background."""
        return [c for c in range(self.labels) if c != self.background]

    def take(self, rows: np.ndarray) -> MaskView:
        return MaskView(self.codes[rows], self.wanted[rows], self.labels, self.background, self.spacing[rows])

    def same(self, other: View) -> bool:
        return isinstance(other, MaskView) and bool((self.codes == other.codes).all())

    @cached_property
    def both(self) -> np.ndarray:
        """(N, A, A) pixels of each row by true label and said label."""
        return confusions(self.codes, self.wanted, self.labels)

    @cached_property
    def apart(self) -> np.ndarray:
        """(N, A) 95th percentile of the distances between the outlines of a label, in pixels of the picture as it came, or in
        the unit of `spacing`; nan where one of both has none, or the row is not looked at.
        """
        out = np.full((self.rows, self.labels), np.nan)
        for row in np.unique(np.linspace(0, self.rows - 1, min(self.rows, MOST_OUTLINED)).astype(int)):
            counted = self.wanted[row] != VOID
            for label in range(self.labels):
                said, true = (self.codes[row] == label) & counted, self.wanted[row] == label
                out[row, label] = outlines_apart(said, true, spacing=self.spacing[row])
        return out

    def drawn(self, counts: np.ndarray) -> np.ndarray:
        """(R, A, A) pixels under weightings of the rows."""
        return (counts @ self.both.reshape(self.rows, -1)).reshape(-1, self.labels, self.labels)


def outlines_apart(said: np.ndarray, true: np.ndarray, share: float = 0.95, spacing: Any = 1.0) -> float:
    """The larger of both directions' 95th percentiles of the distance from one outline to the other (HD95); nan where there is none.

    spacing: distances of neighbours along each axis, or one for all.
    """
    from scipy import ndimage as library

    ndimage: Any = library
    if not said.any() or not true.any():
        return float("nan")
    one, other = (part & ~ndimage.binary_erosion(part, border_value=1) for part in (said, true))
    if not one.any() or not other.any():  # it fills the picture
        return 0.0 if not one.any() and not other.any() else float("nan")
    steps = np.broadcast_to(np.asarray(spacing, float).ravel(), (said.ndim,))
    to_true, to_said = (ndimage.distance_transform_edt(~outline, sampling=steps) for outline in (other, one))
    return float(max(np.quantile(to_true[one], share), np.quantile(to_said[other], share)))


def _mean(each: np.ndarray, labels: list[int]) -> np.ndarray:
    """(R,) the mean over some labels of (R, A), as far as they are known."""
    chosen = each[:, labels]
    known = ~np.isnan(chosen)
    return ratio(np.where(known, chosen, 0.0).sum(1), known.sum(1))


class _Masks(Metric):
    fits: ClassVar[tuple[str, ...]] = ("mask",)


@metrics
class Dice(_Masks):
    """Twice the pixels that truth and answer share, by the sum of both; over all rows, the mean over labels without the background."""

    type: Literal["dice"] = "dice"
    title: ClassVar[str] = "Dice"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, MaskView)
        return _mean(dice(drawn.view.drawn(drawn.counts)), drawn.view.asked)


@metrics
class Overlap(_Masks):
    """Pixels that truth and answer share, by those of either (IoU); over all rows, the mean over labels without the background."""

    type: Literal["iou"] = "iou"
    title: ClassVar[str] = "IoU"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, MaskView)
        found = dice(drawn.view.drawn(drawn.counts))
        return _mean(found / (2 - found), drawn.view.asked)


@metrics
class MeanOverlap(_Masks):
    """As IoU, with the background among the labels."""

    type: Literal["mean_iou"] = "mean_iou"
    title: ClassVar[str] = "IoU with background"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, MaskView)
        found = dice(drawn.view.drawn(drawn.counts))
        return _mean(found / (2 - found), list(range(drawn.view.labels)))


@metrics
class PixelAccuracy(_Masks):
    """Share of the pixels whose label is the true one."""

    type: Literal["pixel_accuracy"] = "pixel_accuracy"
    title: ClassVar[str] = "Pixel accuracy"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, MaskView)
        both = drawn.view.drawn(drawn.counts)
        return ratio(both.diagonal(0, 1, 2).sum(1), both.sum((1, 2)))


@metrics
class OutlinesApart(_Masks):
    """95th percentile of the distance between outlines (HD95), in pixels of the picture as it came, of volumes in millimetres (µm or nm where voxels are that small); the mean over rows and labels."""

    type: Literal["hd95"] = "hd95"
    title: ClassVar[str] = "HD95"
    higher_is_better: ClassVar[bool] = False
    in_units: ClassVar[bool] = True

    def applies(self, view: View) -> bool:
        assert isinstance(view, MaskView)
        return not np.isnan(view.apart[:, view.asked]).all()

    def values(self, drawn: Drawn) -> np.ndarray:
        view = drawn.view
        assert isinstance(view, MaskView)
        known = ~np.isnan(view.apart)
        each = ratio(drawn.counts @ np.where(known, view.apart, 0.0), drawn.counts @ known)
        return _mean(each, view.asked)
