"""Outputs that are fixed-length numbers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.tasks.base import Prediction, Task, Wrong
from dapeng.metrics.base import View
from dapeng.metrics.vectors import VectorView

SHOWN = 6
"""Numbers of a vector that are shown."""
MOST_ELEMENTS = 1_000


@tasks
class Vectors(Task):
    """Regression of vectors: the error over all elements, and the angle to the truth."""

    type: Literal["vector"] = "vector"
    headline: ClassVar[str] = "rmse_elements"
    beside: ClassVar[tuple[str, ...]] = ("rmse_elements", "cosine", "r2_elements")

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> VectorView:
        return VectorView(prediction["mean"], values)

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, VectorView)
        errors = np.sqrt(((view.predicted - view.values) ** 2).mean(0))
        return {"rmse_by_element": [float(f"{e:.5g}") for e in errors[:MOST_ELEMENTS]]}

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        said, truth = np.asarray(tensors["mean"], np.float64), np.asarray(tensors["truth"], np.float64)
        errors = np.sqrt(((said - truth) ** 2).mean(1))
        order = np.argsort(-errors, kind="stable")[:count]
        return [Wrong(int(rows[i]), _short(truth[i]), _short(said[i]), float(errors[i])) for i in order], len(rows)


def _short(vector: np.ndarray) -> str:
    more = " …" if len(vector) > SHOWN else ""
    vector = np.where(
        np.abs(vector) < 1e-6 * np.abs(vector).max(initial=0.0), 0.0, vector
    )  # was scaled and scaled back
    return " ".join(f"{v:.3g}" for v in vector[:SHOWN]) + more
