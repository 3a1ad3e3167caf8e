"""Metrics of the class that was said: all of them follow from three counts a class (true, said, hits)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.metrics.base import ClassView, Drawn, Metric, ratio


def precision(drawn: Drawn) -> np.ndarray:
    """(R, A); 0 for a class that was never said, like scikit-learn."""
    return ratio(drawn.hits, drawn.said, 0.0)


def recall(drawn: Drawn) -> np.ndarray:
    """(R, A); 0 for a class that does not occur."""
    return ratio(drawn.hits, drawn.true, 0.0)


def f1(drawn: Drawn) -> np.ndarray:
    """(R, A)."""
    return ratio(2 * drawn.hits, drawn.said + drawn.true, 0.0)


def over_classes(values: np.ndarray, drawn: Drawn) -> np.ndarray:
    """(R,) mean over the classes that occur, or were said, in each weighting."""
    used = (drawn.true + drawn.said) > 0
    return ratio((values * used).sum(1), used.sum(1))


class _Classes(Metric):
    fits: ClassVar[tuple[str, ...]] = ("category",)


@metrics
class Accuracy(_Classes):
    """Share of rows whose class was said rightly."""

    type: Literal["accuracy"] = "accuracy"
    title: ClassVar[str] = "Accuracy"
    share: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, ClassView)
        return drawn.mean(drawn.view.right.astype(np.float64))


@metrics
class BalancedAccuracy(_Classes):
    """Mean over the classes of the share that was found: rare classes count like frequent ones."""

    type: Literal["balanced_accuracy"] = "balanced_accuracy"
    title: ClassVar[str] = "Balanced accuracy"

    def values(self, drawn: Drawn) -> np.ndarray:
        occurs = drawn.true > 0
        return ratio((recall(drawn) * occurs).sum(1), occurs.sum(1))


class _Labels(Metric):
    fits: ClassVar[tuple[str, ...]] = ("category", "set")


@metrics
class PrecisionMacro(_Labels):
    """Mean over the classes of the share that is right among what was said."""

    type: Literal["precision_macro"] = "precision_macro"
    title: ClassVar[str] = "Precision, macro"

    def values(self, drawn: Drawn) -> np.ndarray:
        return over_classes(precision(drawn), drawn)


@metrics
class RecallMacro(_Labels):
    """Mean over the classes, said ones included, of the share that was found."""

    type: Literal["recall_macro"] = "recall_macro"
    title: ClassVar[str] = "Recall, macro"

    def values(self, drawn: Drawn) -> np.ndarray:
        return over_classes(recall(drawn), drawn)


@metrics
class F1Macro(_Labels):
    """Mean over the classes of the harmonic mean of precision and recall."""

    type: Literal["f1_macro"] = "f1_macro"
    title: ClassVar[str] = "F1, macro"

    def values(self, drawn: Drawn) -> np.ndarray:
        return over_classes(f1(drawn), drawn)


@metrics
class PrecisionMicro(_Labels):
    """Precision over all classes together; with one label a row it equals accuracy."""

    type: Literal["precision_micro"] = "precision_micro"
    title: ClassVar[str] = "Precision, micro"

    def values(self, drawn: Drawn) -> np.ndarray:
        return ratio(drawn.hits.sum(1), drawn.said.sum(1), 0.0)


@metrics
class RecallMicro(_Labels):
    """Recall over all classes together; with one label a row it equals accuracy."""

    type: Literal["recall_micro"] = "recall_micro"
    title: ClassVar[str] = "Recall, micro"

    def values(self, drawn: Drawn) -> np.ndarray:
        return ratio(drawn.hits.sum(1), drawn.true.sum(1), 0.0)


@metrics
class F1Micro(_Labels):
    """F1 over all classes together; with one label a row it equals accuracy."""

    type: Literal["f1_micro"] = "f1_micro"
    title: ClassVar[str] = "F1, micro"

    def values(self, drawn: Drawn) -> np.ndarray:
        return ratio(2 * drawn.hits.sum(1), drawn.said.sum(1) + drawn.true.sum(1), 0.0)


@metrics
class Matthews(_Classes):
    """Matthews' correlation of what was said with the truth: 0 for guessing, 1 for perfect.

    Paper: Gorodkin: Comparing two K-category assignments by a K-category correlation coefficient, 2004
    """

    type: Literal["mcc"] = "mcc"
    title: ClassVar[str] = "Matthews correlation"

    def values(self, drawn: Drawn) -> np.ndarray:
        total, true, said = drawn.total, drawn.true, drawn.said
        above = drawn.hits.sum(1) * total - (true * said).sum(1)
        spread = (total**2 - (said**2).sum(1)) * (total**2 - (true**2).sum(1))
        return ratio(above, np.sqrt(np.maximum(spread, 0.0)), 0.0)


class _Positive(_Classes):
    two_classes: ClassVar[bool] = True


def _counts(drawn: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(R,) true, said and hits of the positive class."""
    assert isinstance(drawn.view, ClassView)
    at = drawn.view.positive
    return drawn.true[:, at], drawn.said[:, at], drawn.hits[:, at]


@metrics
class Sensitivity(_Positive):
    """Share of the positives that was found (recall)."""

    type: Literal["sensitivity"] = "sensitivity"
    title: ClassVar[str] = "Sensitivity (recall)"

    def values(self, drawn: Drawn) -> np.ndarray:
        true, _, hits = _counts(drawn)
        return ratio(hits, true)


@metrics
class Specificity(_Positive):
    """Share of the negatives that was left alone."""

    type: Literal["specificity"] = "specificity"
    title: ClassVar[str] = "Specificity"

    def values(self, drawn: Drawn) -> np.ndarray:
        true, said, hits = _counts(drawn)
        negatives = drawn.total - true
        return ratio(negatives - (said - hits), negatives)


@metrics
class PositivePredictiveValue(_Positive):
    """Share that is right among what was said to be positive (precision)."""

    type: Literal["ppv"] = "ppv"
    title: ClassVar[str] = "Positive predictive value (precision)"

    def values(self, drawn: Drawn) -> np.ndarray:
        _, said, hits = _counts(drawn)
        return ratio(hits, said)


@metrics
class NegativePredictiveValue(_Positive):
    """Share that is right among what was said to be negative."""

    type: Literal["npv"] = "npv"
    title: ClassVar[str] = "Negative predictive value"

    def values(self, drawn: Drawn) -> np.ndarray:
        true, said, hits = _counts(drawn)
        left = drawn.total - said
        return ratio(left - (true - hits), left)


@metrics
class F1Positive(_Positive):
    """Harmonic mean of precision and recall of the positive class."""

    type: Literal["f1"] = "f1"
    title: ClassVar[str] = "F1 of the positive class"

    def values(self, drawn: Drawn) -> np.ndarray:
        true, said, hits = _counts(drawn)
        return ratio(2 * hits, true + said, 0.0)
