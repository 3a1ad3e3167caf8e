"""Metrics of the probabilities themselves: are they right, not only the class that they lead to?"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.metrics.base import ClassView, Drawn, LabelView, Metric, ratio

BINS = 15


def bins_of(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(N,) which of the equally wide bins over (0, 1] each confidence falls into."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


class _Probabilities(Metric):
    fits: ClassVar[tuple[str, ...]] = ("category",)
    higher_is_better: ClassVar[bool] = False


@metrics
class LogLoss(_Probabilities):
    """Mean negative logarithm of the probability that was given to the true class; of sets, to what is true of each label."""

    type: Literal["log_loss"] = "log_loss"
    fits: ClassVar[tuple[str, ...]] = ("category", "set")
    title: ClassVar[str] = "Log loss"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, LabelView)
        return drawn.mean(drawn.view.log_losses)


@metrics
class Brier(_Probabilities):
    """Mean squared error of the probabilities: of the positive one of two classes, else summed over the classes.

    Paper: Brier: Verification of forecasts expressed in terms of probability, 1950
    """

    type: Literal["brier"] = "brier"
    title: ClassVar[str] = "Brier score"

    def values(self, drawn: Drawn) -> np.ndarray:
        view = drawn.view
        assert isinstance(view, ClassView)
        # sum over classes of (p - y)^2 = sum p^2 - 2 p_true + 1, without a one-hot matrix
        rows = (view.probabilities**2).sum(1) - 2 * view.of_truth + 1
        return drawn.mean(rows / 2 if view.classes == 2 else rows)


@metrics
class CalibrationError(_Probabilities):
    """Expected calibration error: how far confidence is from the share that is right, over 15 bins.

    Paper: Guo et al.: On Calibration of Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599
    """

    type: Literal["ece"] = "ece"
    title: ClassVar[str] = "Expected calibration error"

    def values(self, drawn: Drawn) -> np.ndarray:
        view = drawn.view
        assert isinstance(view, ClassView)
        confidence, right = view.believed
        gap = np.zeros((view.rows, BINS))
        gap[np.arange(view.rows), bins_of(confidence)] = right - confidence
        return ratio(np.abs(drawn.counts @ gap).sum(1), drawn.total)
