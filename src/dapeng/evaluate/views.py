"""Predictions beside the truth, as metrics see them, and which metrics make sense for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.kinds import metrics
from dapeng.metrics.base import ClassView, Metric, NumberView, View, value_of

HEADLINE = {"category": "accuracy", "number": "rmse"}
"""What the verdict speaks of and members are ranked by."""
BESIDE = {
    "category": ("accuracy", "balanced_accuracy", "f1_macro", "auroc", "log_loss"),
    "number": ("rmse", "mae", "r2"),
}
"""What the leaderboard shows."""


def view_of(column: Column, prediction: Mapping[str, np.ndarray], values: np.ndarray) -> View:
    """prediction: in the column's layout. values: codes, or numbers in units, of the same rows."""
    if "probabilities" in prediction:
        return ClassView(prediction["probabilities"], values, column.positive)  # type: ignore[attr-defined]
    return NumberView(prediction["mean"], values)


def taken(view: View, rows: np.ndarray) -> View:
    """Some rows of a view."""
    if isinstance(view, ClassView):
        return ClassView(view.probabilities[rows], view.codes[rows], view.positive)
    return NumberView(view.predicted[rows], view.values[rows])


def metrics_for(view: View) -> dict[str, Metric]:
    """Registered metrics that apply, by name; the ones that are asked for most come first."""
    kind = "category" if isinstance(view, ClassView) else "number"
    members = metrics.fitting(kind)
    every = {name: members[name]() for name in dict.fromkeys([*BESIDE[kind], *members])}
    return {name: metric for name, metric in every.items() if metric.applies(view)}


def figures(column: Column, prediction: Mapping[str, np.ndarray], values: np.ndarray) -> dict[str, float]:
    """Every metric of these rows, without intervals: what other verbs compare a changed model by."""
    view = view_of(column, prediction, values)
    return {name: value_of(metric, view) for name, metric in metrics_for(view).items()} if view.rows else {}
