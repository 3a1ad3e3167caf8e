"""metrics.json: every figure of the product, its members and the baselines on the test rows, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.errors import SpecError
from dapeng.core.spec import Evaluate, Spec
from dapeng.evaluate import curves
from dapeng.evaluate.bootstrap import Draws, Interval, difference, draw, interval, share_interval
from dapeng.evaluate.views import BESIDE, HEADLINE, metrics_for, taken, view_of
from dapeng.evaluate.words import words_of
from dapeng.metrics.base import ClassView, Drawn, Metric, NumberView, View, value_of
from dapeng.metrics.confusion import f1, precision, recall
from dapeng.metrics.costs import by_costs, by_f1

Predictions = Mapping[str, Mapping[str, np.ndarray]]
Truth = Mapping[str, tuple[np.ndarray, np.ndarray]]
PRODUCT = "product"
LARGEST_CONFUSION = 50


@dataclass
class Judged:
    """One member of the leaderboard. shares: by output, its part of the product. predictions: by output and layout name."""

    name: str
    role: Literal["product", "network", "learner", "baseline"]
    predictions: Predictions
    cpu_seconds: float
    shares: dict[str, float]


def verdict(
    spec: Spec, outputs: Mapping[str, Column], truth: Truth, judged: list[Judged], how: str, seed: int
) -> dict[str, Any]:
    """Judge the product beside its members and the baselines.

    truth: by output, (values, present) of the test rows: codes, or numbers in units. how: words on where the rows come from.
    """
    return judge(spec.evaluate, outputs, truth, judged, how, seed)


def judge(
    options: Evaluate, outputs: Mapping[str, Column], truth: Truth, judged: list[Judged], how: str, seed: int
) -> dict[str, Any]:
    """As `verdict`, by the options of evaluation alone."""
    found = {
        name: _output(options, name, column, truth[name], [j for j in judged if name in j.predictions], seed)
        for name, column in outputs.items()
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
    options: Evaluate, name: str, column: Column, truth: tuple[np.ndarray, np.ndarray], judged: list[Judged], seed: int
) -> dict[str, Any]:
    values, present = truth
    at = np.flatnonzero(present)
    described: dict[str, Any] = {"type": column.type, "rows": len(at), "missing": int(len(present) - len(at))}
    if not len(at):
        return {**described, "metrics": {}, "leaderboard": [], "words": "no test row has the true answer"}
    views = {
        j.name: view_of(column, {k: np.asarray(v)[at] for k, v in j.predictions[name].items()}, np.asarray(values)[at])
        for j in sorted(judged, key=lambda j: j.role != PRODUCT)
    }
    product = next(iter(views.values()))
    headline = HEADLINE[column.type]
    every = metrics_for(product)
    beside = {n: every[n] for n in BESIDE[column.type] if n in every}
    wanted: dict[str, tuple[View, Mapping[str, Metric]]] = {
        m: (view, beside if at else every) for at, (m, view) in enumerate(views.items())
    }
    draws = draw(wanted, options.resamples, seed)
    intervals = {m: _intervals(view, metrics, draws[m], options.confidence) for m, (view, metrics) in wanted.items()}
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
    found |= _classes(options, name, column, product) if isinstance(product, ClassView) else _numbers(product, seed)
    return {**found, "words": words_of(name, column, found, product, options.confidence)}


def _intervals(
    view: View, metrics: Mapping[str, Metric], draws: dict[str, np.ndarray], confidence: float
) -> dict[str, Interval]:
    found = {}
    for name, metric in metrics.items():
        value = value_of(metric, view)
        one = share_interval(value, view.rows, draws[name], confidence) if name == "accuracy" else None
        found[name] = one or interval(value, draws[name], confidence)
    return found


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
        row["metrics"] = {n: intervals[one.name][n].plain() for n in beside}
        if one.name != product:
            pair = [(views[m], draws[m][headline]) for m in (product, one.name)]
            row["difference"] = difference(metric, pair[0], pair[1], confidence).plain()
            row["same"] = _same(views[product], views[one.name])
        ranked.append(row)
    sign = -1.0 if metric.higher_is_better else 1.0
    return sorted(ranked, key=lambda r: (sign * r["metrics"][headline]["value"], r["role"] != PRODUCT))


def _same(first: View, second: View) -> bool:
    """True if both say the same about every row."""
    if isinstance(first, ClassView) and isinstance(second, ClassView):
        return bool(np.allclose(first.probabilities, second.probabilities, atol=1e-6))
    return isinstance(first, NumberView) and bool(np.allclose(first.predicted, second.predicted, rtol=1e-6))  # type: ignore[union-attr]


def _classes(options: Evaluate, name: str, column: Column, view: ClassView) -> dict[str, Any]:
    labels: list[str] = list(column.labels)  # type: ignore[attr-defined]
    area, average = curves.ranked_by_class(view)
    found: dict[str, Any] = {
        "labels": labels,
        "positive": labels[view.positive] if view.classes == 2 else None,
        "per_class": _per_class(view, labels, area, average),
        "confusion": _confusion(view, labels),
        "curves": curves.class_curves(view, labels, area),
        "distribution": {
            "truth": np.bincount(view.codes, minlength=view.classes).tolist(),
            "predicted": np.bincount(view.predicted, minlength=view.classes).tolist(),
        },
    }
    costs = (options.costs or {}).get(name)
    if costs is not None:
        found["threshold"] = by_costs(view, _checked(name, costs, labels))
    elif view.classes == 2 and view.positive in area:
        found["threshold"] = by_f1(view)
    return found


def _checked(name: str, costs: list[list[float]], labels: list[str]) -> np.ndarray:
    size = len(labels)
    if len(costs) != size or any(len(row) != size for row in costs):
        hint = f"rows are true labels, columns predictions, in this order: {', '.join(labels[:20])}"
        raise SpecError(f"evaluate.costs.{name} must be {size} x {size}, one row for each label", hint=hint)
    return np.array(costs, np.float64)


def _per_class(
    view: ClassView, labels: list[str], area: dict[int, float], average: dict[int, float]
) -> list[dict[str, Any]]:
    drawn = Drawn(view, np.ones((1, view.rows)))
    columns = {"precision": precision(drawn)[0], "recall": recall(drawn)[0], "f1": f1(drawn)[0]}
    true, said, hits = drawn.true[0], drawn.said[0], drawn.hits[0]
    rows = []
    for c, label in enumerate(labels):
        negatives, left = view.rows - true[c], view.rows - said[c]
        row: dict[str, Any] = {"label": label, "rows": int(true[c]), "predicted": int(said[c])}
        row |= {n: float(v[c]) for n, v in columns.items()}
        row["specificity"] = float(1 - (said[c] - hits[c]) / negatives) if negatives else None
        row["npv"] = float(1 - (true[c] - hits[c]) / left) if left else None
        rows.append(row | {"auroc": area.get(c), "auprc": average.get(c)})
    return rows


def _confusion(view: ClassView, labels: list[str]) -> dict[str, Any]:
    """Counts, rows true and columns said; of very many classes the most confused ones alone, the rest as one."""
    size = view.classes
    if size <= LARGEST_CONFUSION:
        counts = np.bincount(view.codes * size + view.predicted, minlength=size * size).reshape(size, size)
        return {"labels": labels, "counts": counts.tolist()}
    wrong = ~view.right
    mixed = np.bincount(view.codes[wrong], minlength=size) + np.bincount(view.predicted[wrong], minlength=size)
    kept = np.sort(np.argsort(-mixed, kind="stable")[: LARGEST_CONFUSION // 2])
    table = np.full(size, len(kept))
    table[kept] = np.arange(len(kept))
    few = len(kept) + 1
    counts = np.bincount(table[view.codes] * few + table[view.predicted], minlength=few * few).reshape(few, few)
    names = [labels[c] for c in kept] + [f"{size - len(kept):,} others"]
    return {"labels": names, "counts": counts.tolist(), "cut": True}


def _numbers(view: View, seed: int) -> dict[str, Any]:
    assert isinstance(view, NumberView)
    finite = np.flatnonzero(np.isfinite(view.predicted))
    kept = view if len(finite) == view.rows else taken(view, finite)
    assert isinstance(kept, NumberView)
    if not kept.rows:
        return {"curves": {}, "distribution": {}}
    return {"curves": curves.number_curves(kept, seed), "distribution": curves.number_distribution(kept)}
