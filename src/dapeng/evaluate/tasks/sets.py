"""Outputs that are any number of some labels."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate import curves
from dapeng.evaluate.tasks.base import Prediction, Task, Told, Wrong
from dapeng.evaluate.tasks.labels import per_label, places_in, spread_to
from dapeng.metrics.base import View
from dapeng.metrics.tags import SetView

NOTHING = "none"


@tasks
class Sets(Task):
    """Tagging: F1 over all labels, then every label by itself."""

    type: Literal["set"] = "set"
    headline: ClassVar[str] = "f1_micro"
    beside: ClassVar[tuple[str, ...]] = ("f1_micro", "f1_macro", "f1_samples", "auprc", "log_loss")
    floor: ClassVar[str] = "the most frequent labels"
    decides: ClassVar[bool] = True

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> SetView:
        said: Any = column.said(dict(prediction))
        return SetView(prediction["probabilities"], values, said)

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, SetView)
        labels: list[str] = list(column.labels)  # type: ignore[attr-defined]
        area, average = curves.ranked_by_class(view)
        rows = per_label(view, labels, area, average)
        for row, threshold in zip(rows, column.thresholds):  # type: ignore[attr-defined]
            row["threshold"] = float(threshold)
        return {
            "labels": labels,
            "per_class": rows,
            "curves": curves.class_curves(view, labels, area),
            "sizes": {"truth": _sizes(view.truth), "predicted": _sizes(view.said)},
        }

    def paired(self, first: Told, second: Told) -> tuple[View, View]:
        each: list[list[str]] = [list(told[0].labels) for told in (first, second)]  # type: ignore[attr-defined]
        labels = list(dict.fromkeys([*each[0], *each[1]]))
        made = []
        for mine, (column, prediction, values) in zip(each, (first, second)):
            places = places_in(labels, mine)
            parts = (prediction["probabilities"], values, column.said(dict(prediction)))  # type: ignore[attr-defined]
            made.append(SetView(*(spread_to(np.asarray(p), places, len(labels)) for p in parts)))
        made[0].truth = made[1].truth = (
            made[0].truth | made[1].truth
        )  # a label that one of them never saw is missed by it
        return made[0], made[1]

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        labels, p, truth = found["labels"], tensors["probabilities"], tensors["truth"].astype(bool)
        said = tensors["said"].astype(bool) if "said" in tensors else p >= _cuts(found)
        wrong = np.flatnonzero((said != truth).any(1))
        surest = np.where(truth[wrong], 1 - p[wrong], p[wrong]) * (said[wrong] != truth[wrong])
        order = np.argsort(-surest.max(1, initial=0.0), kind="stable")[:count]
        made = [
            Wrong(int(rows[i]), _named(labels, truth[i]), _named(labels, said[i]), float(s))
            for i, s in _each(wrong, surest, order)
        ]
        return made, len(wrong)


def _each(wrong: np.ndarray, surest: np.ndarray, order: np.ndarray) -> list[tuple[int, float]]:
    """Rows in this order, each with the surety of its worst label."""
    return [(int(wrong[o]), float(surest[o].max())) for o in order]


def _named(labels: list[str], flags: np.ndarray) -> str:
    return ", ".join(labels[i] for i in np.flatnonzero(flags)) or NOTHING


def _cuts(found: dict[str, Any]) -> np.ndarray:
    return np.array([row["threshold"] for row in found["per_class"]])


def _sizes(flags: np.ndarray) -> list[int]:
    """How many rows have no label, one, two, ..."""
    return np.bincount(flags.sum(1)).tolist()
