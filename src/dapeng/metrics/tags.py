"""Metrics of sets of labels. What holds label by label is shared with classes: precision, recall, F1, curves, log loss.

Tsoumakas, Katakis: Multi-Label Classification: An Overview, 2007.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.metrics.base import SMALLEST, Drawn, LabelView, Metric, View


@dataclass
class SetView(LabelView):
    """Predicted labels beside the true ones.

    probabilities: (N, A). truth, said: (N, A) bool, the labels of each row and those that were said of it.
    """

    task: ClassVar[str] = "set"
    probabilities: np.ndarray
    truth: np.ndarray
    said: np.ndarray

    def __post_init__(self) -> None:
        self.probabilities = np.asarray(self.probabilities, np.float64)
        self.truth, self.said = np.asarray(self.truth, bool), np.asarray(self.said, bool)

    def take(self, rows: np.ndarray) -> SetView:
        return SetView(self.probabilities[rows], self.truth[rows], self.said[rows])

    def same(self, other: View) -> bool:
        return isinstance(other, SetView) and bool(np.allclose(self.probabilities, other.probabilities, atol=1e-6))

    def has(self, label: int) -> np.ndarray:
        return self.truth[:, label]

    @cached_property
    def right(self) -> np.ndarray:  # type: ignore[override]
        """(N,) whether all labels of a row, and no others, were said."""
        return (self.truth == self.said).all(1)

    @cached_property
    def log_losses(self) -> np.ndarray:  # type: ignore[override]
        """(N,) mean over the labels of the negative logarithm of the probability of what is true of it."""
        p = np.clip(self.probabilities, SMALLEST, 1 - SMALLEST)
        return -np.where(self.truth, np.log(p), np.log1p(-p)).mean(1)

    @cached_property
    def asked(self) -> list[int]:  # type: ignore[override]
        return list(range(self.classes))

    @property
    def believed(self) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[override]
        return self.probabilities.ravel(), self.truth.ravel()

    def ones(self, what: str) -> np.ndarray:
        if what not in self._ones:
            found = {"true": self.truth, "said": self.said, "hits": self.truth & self.said}[what]
            self._ones[what] = found.astype(np.float64)
        return self._ones[what]

    @cached_property
    def _ones(self) -> dict[str, np.ndarray]:
        return {}


class _Sets(Metric):
    fits: ClassVar[tuple[str, ...]] = ("set",)

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, SetView)
        return drawn.mean(self.each(drawn.view))

    def each(self, view: SetView) -> np.ndarray:
        """(N,) of each row."""
        raise NotImplementedError


@metrics
class F1Samples(_Sets):
    """Mean over the rows of each row's own F1; 1 where it has no label and none was said."""

    type: Literal["f1_samples"] = "f1_samples"
    title: ClassVar[str] = "F1, by row"

    def each(self, view: SetView) -> np.ndarray:
        both = view.truth.sum(1) + view.said.sum(1)
        hits = (view.truth & view.said).sum(1)
        return np.where(both > 0, 2 * hits / np.maximum(both, 1), 1.0)


@metrics
class SubsetAccuracy(_Sets):
    """Share of rows whose labels were all said, and no others."""

    type: Literal["subset_accuracy"] = "subset_accuracy"
    title: ClassVar[str] = "Exact sets"
    share: ClassVar[bool] = True

    def each(self, view: SetView) -> np.ndarray:
        return view.right.astype(np.float64)


@metrics
class HammingLoss(_Sets):
    """Share of all pairs of row and label that are wrong."""

    type: Literal["hamming"] = "hamming"
    title: ClassVar[str] = "Hamming loss"
    higher_is_better: ClassVar[bool] = False

    def each(self, view: SetView) -> np.ndarray:
        return (view.truth != view.said).mean(1)
