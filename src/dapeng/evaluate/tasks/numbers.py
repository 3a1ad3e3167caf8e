"""Outputs that are one number."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate import curves
from dapeng.evaluate.tasks.base import Prediction, Task, Wrong
from dapeng.metrics.base import NumberView, View


@tasks
class Numbers(Task):
    """Regression: the root mean squared error in the column's units."""

    type: Literal["number"] = "number"
    headline: ClassVar[str] = "rmse"
    beside: ClassVar[tuple[str, ...]] = ("rmse", "mae", "r2")

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> NumberView:
        return NumberView(prediction["mean"], values)

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, NumberView)
        finite = np.flatnonzero(np.isfinite(view.predicted))
        kept = view if len(finite) == view.rows else view.take(finite)
        if not kept.rows:
            return {"curves": {}, "distribution": {}}
        return {"curves": curves.number_curves(kept, seed), "distribution": curves.number_distribution(kept)}

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        said, truth = np.asarray(tensors["mean"], np.float64), tensors["truth"]
        errors = np.abs(said - truth)
        order = np.argsort(-errors, kind="stable")[:count]
        return [Wrong(int(rows[i]), f"{truth[i]:.6g}", f"{said[i]:.6g}", float(errors[i])) for i in order], len(rows)
