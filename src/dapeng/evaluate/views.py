"""Predictions beside the truth, as metrics see them, and which metrics make sense for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.kinds import metrics
from dapeng.evaluate.tasks.base import task_of
from dapeng.metrics.base import Metric, View, value_of


def view_of(column: Column, prediction: Mapping[str, np.ndarray], values: np.ndarray) -> View:
    """prediction: in the column's layout. values: the truth of the same rows (`Column.truth`)."""
    return task_of(column.task).view(column, prediction, values)


def metrics_for(view: View) -> dict[str, Metric]:
    """Registered metrics that apply, by name; the ones that are asked for most come first."""
    members = metrics.fitting(view.task)
    every = {name: members[name]() for name in dict.fromkeys([*task_of(view.task).beside, *members])}
    return {name: metric for name, metric in every.items() if metric.applies(view)}


def figures(column: Column, prediction: Mapping[str, np.ndarray], values: np.ndarray) -> dict[str, float]:
    """Every metric of these rows, without intervals: what other verbs compare a changed model by."""
    view = view_of(column, prediction, values)
    return {name: value_of(metric, view) for name, metric in metrics_for(view).items()} if view.rows else {}
