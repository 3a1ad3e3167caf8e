"""Metrics of the order that probabilities put rows in, whatever the threshold; one class against the rest."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, LabelView, Metric, ratio

SHARE = 0.1


def area_under_roc(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(R,) out of cumulative true and false positives (R, G); ties count half."""
    positives, negatives = right[:, -1], wrong[:, -1]
    gained = np.diff(right, axis=1, prepend=0.0)
    lost = wrong - np.diff(wrong, axis=1, prepend=0.0) / 2
    return ratio(positives * negatives - (gained * lost).sum(1), positives * negatives)


def average_precision(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(R,) mean precision over the positives, each at its own threshold."""
    gained = np.diff(right, axis=1, prepend=0.0)
    found = (gained * ratio(right, right + wrong, 0.0)).sum(1)
    return ratio(found, right[:, -1])


def separation(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(R,) largest distance of the two classes' cumulative distributions (Kolmogorov-Smirnov)."""
    return np.abs(ratio(right, right[:, -1:]) - ratio(wrong, wrong[:, -1:])).max(1)


def lift(right: np.ndarray, wrong: np.ndarray, share: float = SHARE) -> np.ndarray:
    """(R,) how many times more positives the first rows hold than as many random ones; a tie is cut in proportion."""
    every = right + wrong
    found = [np.interp(share * e[-1], np.append(0.0, e), np.append(0.0, r)) for e, r in zip(every, right)]
    return ratio(np.array(found), share * right[:, -1])


class _Ranks(Metric):
    fits: ClassVar[tuple[str, ...]] = ("category",)
    ranks: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, LabelView)
        each = np.stack([self.one(*drawn.curve(label)) for label in drawn.view.asked])
        known = ~np.isnan(each)  # a class that does not occur has no curve
        return ratio(np.where(known, each, 0.0).sum(0), known.sum(0))

    def one(self, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        """(R,) of one class."""
        raise NotImplementedError


@metrics
class AreaUnderRoc(_Ranks):
    """Chance that a random row of a class is ranked above a random row of another; the mean over more than two classes."""

    type: Literal["auroc"] = "auroc"
    fits: ClassVar[tuple[str, ...]] = ("category", "set")
    title: ClassVar[str] = "AUROC"

    def one(self, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        return area_under_roc(right, wrong)


@metrics
class AreaUnderPrecisionRecall(_Ranks):
    """Average precision; the mean over more than two classes."""

    type: Literal["auprc"] = "auprc"
    fits: ClassVar[tuple[str, ...]] = ("category", "set")
    title: ClassVar[str] = "AUPRC (average precision)"

    def one(self, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        return average_precision(right, wrong)


@metrics
class KolmogorovSmirnov(_Ranks):
    """Largest distance between the score distributions of positives and negatives."""

    type: Literal["ks"] = "ks"
    title: ClassVar[str] = "Kolmogorov-Smirnov"
    two_classes: ClassVar[bool] = True

    def one(self, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        return separation(right, wrong)


@metrics
class Lift(_Ranks):
    """How many times more positives the tenth of the rows with the highest scores holds than a random tenth."""

    type: Literal["lift_10"] = "lift_10"
    title: ClassVar[str] = "Lift at 10 %"
    two_classes: ClassVar[bool] = True

    def one(self, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        return lift(right, wrong)
