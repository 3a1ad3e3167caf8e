"""Metrics of anomalies: how well scores tell faulty pictures from good ones, those of pixels faulty ones, and what the threshold misses."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from dapeng.columns.anomaly import FAULTY, GOOD, is_faulty
from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, View, ratio
from dapeng.metrics.ranking import area_under_roc, average_precision

BINS = 2_000
"""Values between which heat is told apart, at its quantiles: each pixel by itself would have to be sorted in every resample."""


class AnomalyView(View):
    """Scores (N,) and heat (N, Y, X) beside the true codes (N, Y, X). cut: the threshold of a picture, or None."""

    task: ClassVar[str] = "anomaly"

    def __init__(self, score: np.ndarray, heat: np.ndarray, codes: np.ndarray, cut: float | None):
        self.score, self.heat, self.codes, self.cut = np.asarray(score, np.float64), heat, codes, cut

    @property
    def rows(self) -> int:
        return len(self.score)

    def take(self, rows: np.ndarray) -> AnomalyView:
        return AnomalyView(self.score[rows], self.heat[rows], self.codes[rows], self.cut)

    def same(self, other: View) -> bool:
        return isinstance(other, AnomalyView) and bool(np.allclose(self.score, other.score, rtol=1e-6))

    @cached_property
    def faulty(self) -> np.ndarray:
        """(N,) bool."""
        return is_faulty(self.codes)

    @cached_property
    def said(self) -> np.ndarray:
        """(N,) whether each is called faulty."""
        return np.zeros(self.rows, bool) if self.cut is None else self.score.astype(np.float32) >= self.cut

    @cached_property
    def falling(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows by falling score, and the last place of every group of ties."""
        order = np.argsort(-self.score, kind="stable")
        scores = self.score[order]
        return order, np.flatnonzero(np.append(scores[1:] != scores[:-1], True))

    def curve(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cumulative faulty and good pictures (R, G) by falling score."""
        order, ends = self.falling
        weighed = counts[:, order]
        right, wrong = weighed * self.faulty[order], weighed * ~self.faulty[order]
        return right.cumsum(1)[:, ends], wrong.cumsum(1)[:, ends]

    @cached_property
    def by_heat(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, BINS) faulty and good pixels of each row by falling heat; unknown ones are left out."""
        heat = np.asarray(self.heat, np.float32)
        some = heat.reshape(-1)[:: max(1, heat.size // 200_000)]
        edges = np.unique(np.quantile(some, np.linspace(0, 1, BINS)[1:-1]))
        found = np.zeros((2, self.rows, len(edges) + 1))
        for row in range(self.rows):
            place = np.searchsorted(edges, heat[row].ravel(), side="right")
            for side, code in enumerate((FAULTY, GOOD)):
                kept = place[self.codes[row].ravel() == code]
                found[side, row] = np.bincount(kept, minlength=len(edges) + 1)[::-1]
        return found[0], found[1]


class _Anomalies(Metric):
    fits: ClassVar[tuple[str, ...]] = ("anomaly",)


class _Ranked(_Anomalies):
    def applies(self, view: View) -> bool:
        assert isinstance(view, AnomalyView)
        return bool(view.faulty.any() and not view.faulty.all())


@metrics
class ImageAuroc(_Ranked):
    """Chance that a random faulty picture has a higher score than a random good one."""

    type: Literal["image_auroc"] = "image_auroc"
    title: ClassVar[str] = "Image AUROC"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, AnomalyView)
        return area_under_roc(*drawn.view.curve(drawn.counts))


@metrics
class ImagePrecision(_Ranked):
    """Average precision of pictures, the faulty ones being looked for."""

    type: Literal["image_auprc"] = "image_auprc"
    title: ClassVar[str] = "Image AUPRC"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, AnomalyView)
        return average_precision(*drawn.view.curve(drawn.counts))


@metrics
class PixelAuroc(_Anomalies):
    """Chance that a random faulty pixel is hotter than a random good one, over all pixels of all rows; heat in 2,000 steps."""

    type: Literal["pixel_auroc"] = "pixel_auroc"
    title: ClassVar[str] = "Pixel AUROC"

    def applies(self, view: View) -> bool:
        assert isinstance(view, AnomalyView)
        return bool((view.codes == FAULTY).any() and (view.codes == GOOD).any())

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, AnomalyView)
        faulty, good = (drawn.counts @ part for part in drawn.view.by_heat)
        return area_under_roc(faulty.cumsum(1), good.cumsum(1))


class _Decided(_Anomalies):
    higher_is_better: ClassVar[bool] = False
    faulty: ClassVar[bool] = True

    def of(self, view: View) -> np.ndarray:
        assert isinstance(view, AnomalyView)
        return view.faulty if self.faulty else ~view.faulty

    def trials(self, view: View) -> int:
        return int(self.of(view).sum())

    def applies(self, view: View) -> bool:
        assert isinstance(view, AnomalyView)
        return view.cut is not None and bool(self.of(view).any())

    def values(self, drawn: Drawn) -> np.ndarray:
        view = drawn.view
        assert isinstance(view, AnomalyView)
        asked = self.of(view)
        return ratio(drawn.counts @ (asked & (view.said != view.faulty)), drawn.counts @ asked)


@metrics
class FalseAlarms(_Decided):
    """Share of the good pictures that are called faulty."""

    type: Literal["false_alarms"] = "false_alarms"
    title: ClassVar[str] = "False alarms"
    faulty: ClassVar[bool] = False


@metrics
class Misses(_Decided):
    """Share of the faulty pictures that are called good."""

    type: Literal["misses"] = "misses"
    title: ClassVar[str] = "Misses"
