"""metrics.json: every figure of the product, its members and the baselines on the test rows, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.spec import Evaluate, Spec
from dapeng.evaluate.bootstrap import Draws, Interval, difference, draw, figure
from dapeng.evaluate.tasks.base import task_of
from dapeng.evaluate.views import metrics_for, view_of
from dapeng.evaluate.words import words_of
from dapeng.metrics.base import Metric, View

Predictions = Mapping[str, Mapping[str, np.ndarray]]
Truth = Mapping[str, tuple[np.ndarray, np.ndarray]]
Measured = Mapping[str, Mapping[str, Any]]
PRODUCT = "product"


@dataclass
class Judged:
    """One member of the leaderboard. shares: by output, its part of the product. predictions: by output and layout name."""

    name: str
    role: Literal["product", "network", "learner", "baseline"]
    predictions: Predictions
    cpu_seconds: float
    shares: dict[str, float]


def verdict(
    spec: Spec,
    outputs: Mapping[str, Column],
    truth: Truth,
    judged: list[Judged],
    how: str,
    seed: int,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """Judge the product beside its members and the baselines.

    truth: by output, (values, present) of the test rows: as `Column.truth` says it. how: words on where the rows come from.
    measured: by output, what was measured of the product itself and is told beside its figures.
    """
    return judge(spec.evaluate, outputs, truth, judged, how, seed, measured)


def judge(
    options: Evaluate,
    outputs: Mapping[str, Column],
    truth: Truth,
    judged: list[Judged],
    how: str,
    seed: int,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """As `verdict`, by the options of evaluation alone."""
    beside = measured or {}
    found = {
        n: _output(options, n, c, truth[n], [j for j in judged if n in j.predictions], seed, beside.get(n, {}))
        for n, c in outputs.items()
    }
    rows = max((len(present) for _, present in truth.values()), default=0)
    words = [f"{n}: {o['words']}" if len(found) > 1 else o["words"] for n, o in found.items()]
    name, first = next(iter(found.items()))
    headline = {"output": name, "metric": first.get("headline"), **first["metrics"].get(first.get("headline"), {})}
    return {
        "verdict": "\n".join(words),
        "headline": headline,
        "rows": rows,
        "how": how,
        "confidence": options.confidence,
        "outputs": found,
    }


def _output(
    options: Evaluate,
    name: str,
    column: Column,
    truth: tuple[np.ndarray, np.ndarray],
    judged: list[Judged],
    seed: int,
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    values, present = truth
    at = np.flatnonzero(present)
    described: dict[str, Any] = {
        "type": column.type,
        "task": column.task,
        "rows": len(at),
        "missing": int(len(present) - len(at)),
    }
    if not len(at):
        return {**described, "metrics": {}, "leaderboard": [], "words": "no test row has the true answer"}
    views = {
        j.name: view_of(column, {k: np.asarray(v)[at] for k, v in j.predictions[name].items()}, np.asarray(values)[at])
        for j in sorted(judged, key=lambda j: j.role != PRODUCT)
    }
    product = next(iter(views.values()))
    task = task_of(column.task)
    every = metrics_for(product)
    if not every:
        words = f"no figure can be told of these {len(at):,} test rows: their true answers are all alike"
        return {**described, "metrics": {}, "leaderboard": [], "words": words}
    headline = task.first(column, every)
    beside = {n: every[n] for n in dict.fromkeys((*task.shows(column), headline)) if n in every}
    wanted: dict[str, tuple[View, Mapping[str, Metric]]] = {
        m: (view, {n: k for n, k in beside.items() if k.applies(view)} if at else every)
        for at, (m, view) in enumerate(views.items())
    }
    draws = draw(wanted, options.resamples, seed)
    intervals = {m: _intervals(view, metrics, draws[m], options.confidence) for m, (view, metrics) in wanted.items()}
    judged = [j for j in judged if headline in wanted[j.name][1]]
    ranked = _leaderboard(judged, name, views, draws, intervals, beside, headline, options.confidence)
    found = {
        **described,
        "headline": headline,
        "titles": {n: m.title for n, m in every.items()},
        "higher_is_better": {n: m.higher_is_better for n, m in every.items()},
        "in_units": [n for n, m in every.items() if m.in_units],
        "metrics": {n: i.plain() for n, i in intervals[next(iter(views))].items()},
        "leaderboard": ranked,
    }
    found |= {**task.details(options, name, column, product, seed), **measured}
    words = [words_of(name, task.chance(column), found, options.confidence), task.remark(found)]
    return {**found, "words": " ".join(w for w in words if w)}


def _intervals(
    view: View, metrics: Mapping[str, Metric], draws: dict[str, np.ndarray], confidence: float
) -> dict[str, Interval]:
    return {name: figure(metric, view, draws[name], confidence) for name, metric in metrics.items()}


def _leaderboard(
    judged: list[Judged],
    output: str,
    views: Mapping[str, View],
    draws: Draws,
    intervals: Mapping[str, Mapping[str, Interval]],
    beside: Mapping[str, Metric],
    headline: str,
    confidence: float,
) -> list[dict[str, Any]]:
    """Members, best first; each with how much better the product is than it, paired row by row."""
    product = next(iter(views))
    metric = beside[headline]
    ranked = []
    for one in judged:
        row: dict[str, Any] = {"name": one.name, "role": one.role, "share": one.shares.get(output, 0.0)}
        row["cpu_seconds"] = one.cpu_seconds
        row["metrics"] = {n: intervals[one.name][n].plain() for n in beside if n in intervals[one.name]}
        if one.name != product:
            pair = [(views[m], draws[m][headline]) for m in (product, one.name)]
            row["difference"] = difference(metric, pair[0], pair[1], confidence).plain()
            row["same"] = views[product].same(views[one.name])
        ranked.append(row)
    sign = -1.0 if metric.higher_is_better else 1.0
    return sorted(ranked, key=lambda r: (sign * r["metrics"][headline]["value"], r["role"] != PRODUCT))
