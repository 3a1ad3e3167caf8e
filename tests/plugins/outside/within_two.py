"""A metric from outside: is the true class among the two likeliest?"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.metrics.base import ClassView, Drawn, Metric


@metrics
class WithinTwo(Metric):
    """Share of rows whose true class is among the two likeliest."""

    type: Literal["within_two"] = "within_two"
    fits: ClassVar[tuple[str, ...]] = ("category",)
    title: ClassVar[str] = "Among the two likeliest"

    def values(self, drawn: Drawn) -> np.ndarray:
        view = drawn.view
        assert isinstance(view, ClassView)
        best = np.argsort(-view.probabilities, 1)[:, :2]
        return drawn.mean((best == view.codes[:, None]).any(1).astype(float))
