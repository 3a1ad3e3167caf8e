"""Outputs that are one of some labels."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.errors import SpecError
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate import curves
from dapeng.evaluate.tasks.base import Prediction, Task, Told, Wrong
from dapeng.evaluate.tasks.labels import per_label, places_in, spread_to
from dapeng.metrics.base import ClassView, View
from dapeng.metrics.costs import at_threshold, by_costs, by_f1

LARGEST_CONFUSION = 50


@tasks
class Classes(Task):
    """Classification: accuracy first, then every class, and what is taken for what.

    Where the positive label of two is rare, always saying the other is right nearly always: then average precision comes first.
    """

    type: Literal["category"] = "category"
    headline: ClassVar[str] = "accuracy"
    beside: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy", "f1_macro", "auroc", "log_loss")
    floor: ClassVar[str] = "the most frequent label"
    decides: ClassVar[bool] = True

    def leads(self, column: Column) -> str:
        return "auprc" if column.rare else self.headline

    def shows(self, column: Column) -> tuple[str, ...]:
        return ("auprc", "auroc", "lift_10", "f1_macro", "log_loss") if column.rare else self.beside

    def chance(self, column: Column) -> str:
        if not column.rare:
            return super().chance(column)
        return f"Any order by chance (the share of {column.labels[column.positive]!r})"  # type: ignore[attr-defined]

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> ClassView:
        decided = column.said(dict(prediction))
        return ClassView(prediction["probabilities"], values, column.positive, decided)  # type: ignore[attr-defined]

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, ClassView)
        labels: list[str] = list(column.labels)  # type: ignore[attr-defined]
        area, average = curves.ranked_by_class(view)
        found: dict[str, Any] = {
            "labels": labels,
            "positive": labels[view.positive] if view.classes == 2 else None,
            "per_class": per_label(view, labels, area, average),
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
        elif column.cut is not None:
            found["threshold"] = {"by": _by(column), "value": column.cut, **at_threshold(view, column.cut)}
        elif view.classes == 2 and view.positive in area:
            found["threshold"] = by_f1(view)
        if column.cut is not None:
            found |= {"cut": column.cut, "cut_by": _by(column)}
        return found

    def paired(self, first: Told, second: Told) -> tuple[View, View]:
        each: list[list[str]] = [list(told[0].labels) for told in (first, second)]  # type: ignore[attr-defined]
        labels = list(dict.fromkeys([*each[0], *each[1]]))
        made = []
        positive = labels.index(each[0][first[0].positive])  # type: ignore[attr-defined]
        for mine, (column, prediction, values) in zip(each, (first, second)):
            places = places_in(labels, mine)
            spread = spread_to(np.asarray(prediction["probabilities"], np.float64), places, len(labels))
            said = column.said(dict(prediction))
            decided = None if said is None else places[said]
            made.append(ClassView(spread, places[np.asarray(values, np.int64)], positive, decided))
        return made[0], made[1]

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        labels, p, truth = found["labels"], tensors["probabilities"], tensors["truth"]
        said = np.asarray(tensors["said"], np.int64) if "said" in tensors else _said(found, p)
        wrong = np.flatnonzero(said != truth)
        sure = p[wrong, said[wrong]] - p[wrong, truth[wrong]]
        order = wrong[np.argsort(-sure, kind="stable")[:count]]
        made = [Wrong(int(rows[i]), labels[truth[i]], labels[said[i]], float(p[i, said[i]])) for i in order]
        return made, len(wrong)


def _said(found: dict[str, Any], p: np.ndarray) -> np.ndarray:
    """(N,) classes as the run decides: by its threshold, where it has one, else the likeliest."""
    if found.get("cut") is None:
        return p.argmax(1)
    positive = found["labels"].index(found["positive"])
    return np.where(p[:, positive] >= found["cut"], positive, 1 - positive)


def _by(column: Column) -> str:
    """Where the threshold of an output comes from."""
    return "spec" if isinstance(column.options.threshold, float) else "validation"  # type: ignore[attr-defined]


def _checked(name: str, costs: list[list[float]], labels: list[str]) -> np.ndarray:
    size = len(labels)
    if len(costs) != size or any(len(row) != size for row in costs):
        hint = f"rows are true labels, columns predictions, in this order: {', '.join(labels[:20])}"
        raise SpecError(f"evaluate.costs.{name} must be {size} x {size}, one row for each label", hint=hint)
    return np.array(costs, np.float64)


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
