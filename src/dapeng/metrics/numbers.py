"""Metrics of predicted numbers, in the user's units."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, NumberView, View, ratio


class _Numbers(Metric):
    fits: ClassVar[tuple[str, ...]] = ("number",)
    higher_is_better: ClassVar[bool] = False


def _errors(drawn: Drawn) -> np.ndarray:
    assert isinstance(drawn.view, NumberView)
    return drawn.view.errors


@metrics
class MeanAbsoluteError(_Numbers):
    """Mean distance of the prediction from the truth."""

    type: Literal["mae"] = "mae"
    title: ClassVar[str] = "Mean absolute error"
    in_units: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        return drawn.mean(np.abs(_errors(drawn)))


@metrics
class RootMeanSquaredError(_Numbers):
    """Square root of the mean squared error: large errors weigh more."""

    type: Literal["rmse"] = "rmse"
    title: ClassVar[str] = "Root mean squared error"
    in_units: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        return np.sqrt(drawn.mean(_errors(drawn) ** 2))


@metrics
class Determination(_Numbers):
    """R2: the share of the variance that is explained; 0 for the mean, 1 for perfect."""

    type: Literal["r2"] = "r2"
    title: ClassVar[str] = "R2"
    higher_is_better: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, NumberView)
        centred = drawn.view.values - drawn.view.values.mean()  # or the difference of squares loses its digits
        spread = drawn.mean(centred**2) - drawn.mean(centred) ** 2
        return 1 - ratio(drawn.mean(_errors(drawn) ** 2), np.where(spread > 0, spread, 0.0))


@metrics
class MedianAbsoluteError(_Numbers):
    """Half of the predictions are nearer to the truth than this."""

    type: Literal["median_ae"] = "median_ae"
    title: ClassVar[str] = "Median absolute error"
    in_units: ClassVar[bool] = True
    ranks: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, NumberView)
        order = drawn.view.by_size
        rising = np.abs(_errors(drawn))[order]
        reached = np.cumsum(drawn.counts[:, order], 1)
        half = reached[:, -1:] / 2
        low = (reached >= half).argmax(1)
        high = (reached > half).argmax(1)
        return (rising[low] + rising[high]) / 2


@metrics
class MeanAbsolutePercentageError(_Numbers):
    """Mean distance as a share of the truth; where the truth is never near 0 and has one sign."""

    type: Literal["mape"] = "mape"
    title: ClassVar[str] = "Mean absolute percentage error"

    def applies(self, view: View) -> bool:
        if not isinstance(view, NumberView) or not view.rows:
            return False
        sizes = np.abs(view.values)
        one_sign = (view.values > 0).all() or (view.values < 0).all()
        return bool(one_sign and sizes.min() > 1e-3 * np.median(sizes))

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, NumberView)
        return drawn.mean(np.abs(_errors(drawn) / drawn.view.values))
