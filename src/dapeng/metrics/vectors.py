"""Metrics of predicted vectors: errors over all elements, and the angle between prediction and truth."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, ValueView, ratio


class VectorView(ValueView):
    """Predicted vectors (N, D) beside the true ones (N, D)."""

    task: ClassVar[str] = "vector"

    @cached_property
    def squares(self) -> np.ndarray:
        """(N,) mean squared error of each row's elements."""
        return ((self.predicted - self.values) ** 2).mean(1)

    @cached_property
    def cosines(self) -> np.ndarray:
        """(N,) cosine of the angle between prediction and truth; 0 where one of them is zero."""
        sizes = np.linalg.norm(self.predicted, axis=1) * np.linalg.norm(self.values, axis=1)
        return ratio((self.predicted * self.values).sum(1), sizes, 0.0)


class _Vectors(Metric):
    fits: ClassVar[tuple[str, ...]] = ("vector",)


@metrics
class VectorRmse(_Vectors):
    """Square root of the squared error, mean over rows and elements."""

    type: Literal["rmse_elements"] = "rmse_elements"
    title: ClassVar[str] = "RMSE over elements"
    higher_is_better: ClassVar[bool] = False
    in_units: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, VectorView)
        return np.sqrt(drawn.mean(drawn.view.squares))


@metrics
class VectorMae(_Vectors):
    """Distance of the elements from the truth, mean over rows and elements."""

    type: Literal["mae_elements"] = "mae_elements"
    title: ClassVar[str] = "MAE over elements"
    higher_is_better: ClassVar[bool] = False
    in_units: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, VectorView)
        return drawn.mean(np.abs(drawn.view.predicted - drawn.view.values).mean(1))


@metrics
class MeanCosine(_Vectors):
    """Cosine of the angle between prediction and truth, mean over the rows."""

    type: Literal["cosine"] = "cosine"
    title: ClassVar[str] = "Mean cosine"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, VectorView)
        return drawn.mean(drawn.view.cosines)


@metrics
class VectorDetermination(_Vectors):
    """R2: the share of the variance of all elements together that is explained; 0 for the mean, 1 for perfect."""

    type: Literal["r2_elements"] = "r2_elements"
    title: ClassVar[str] = "R2 over elements"

    def values(self, drawn: Drawn) -> np.ndarray:
        view = drawn.view
        assert isinstance(view, VectorView)
        centred = view.values - view.values.mean(0)  # or the difference of squares loses its digits
        spread = drawn.mean((centred**2).sum(1)) - (drawn.mean(centred) ** 2).sum(1)
        return 1 - ratio(drawn.mean(view.squares) * view.values.shape[1], np.where(spread > 0, spread, 0.0))
