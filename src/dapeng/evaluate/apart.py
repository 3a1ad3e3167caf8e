"""Figures apart by the values of a column: kinds of questions, sites, speakers. The mean over all may hide that one of them fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.spec import Evaluate
from dapeng.evaluate.bootstrap import draw, figure
from dapeng.evaluate.tasks.base import task_of
from dapeng.evaluate.verdict import Judged, Truth
from dapeng.evaluate.views import metrics_for, view_of
from dapeng.metrics.base import Metric, View

MOST_VALUES = 30
"""Values of a column that are shown, the most frequent ones."""


def apart(
    options: Evaluate,
    outputs: Mapping[str, Column],
    truth: Truth,
    judged: list[Judged],
    by: Mapping[str, list[str]],
    seed: int,
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By output and column: for each value its rows and the headline of every member, with its interval.

    by: the values of each column in the test rows, "" where there is none.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name, column in outputs.items():
        values, present = truth[name]
        at = np.flatnonzero(present)
        members = [j for j in judged if name in j.predictions]
        if not len(at) or not members:
            continue
        views = {
            j.name: view_of(column, {k: np.asarray(v)[at] for k, v in j.predictions[name].items()}, values[at])
            for j in members
        }
        found[name] = {n: _each(options, column, views, np.array(v, object)[at], seed) for n, v in by.items()}
    return found


def _each(
    options: Evaluate, column: Column, views: Mapping[str, View], of: np.ndarray, seed: int
) -> list[dict[str, Any]]:
    """One entry for each value, the most frequent first."""
    made = []
    for value, count in sorted(Counter(of.tolist()).items(), key=lambda i: (-i[1], i[0]))[:MOST_VALUES]:
        rows = np.flatnonzero(of == value)
        some = {m: view.take(rows) for m, view in views.items()}
        figures = {m: f for m, view in some.items() if (f := _figure(options, column, view, seed)) is not None}
        made.append({"value": value, "rows": count, "members": figures})
    return made


def _figure(options: Evaluate, column: Column, view: View, seed: int) -> dict[str, Any] | None:
    every = metrics_for(view)
    headline = task_of(column.task).first(column, every)
    if headline not in every:
        return None
    metric: Metric = every[headline]
    draws = draw({"it": (view, {headline: metric})}, options.resamples, seed)["it"][headline]
    return {"metric": headline, **figure(metric, view, draws, options.confidence).plain()}
