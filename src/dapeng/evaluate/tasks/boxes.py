"""Outputs that are boxes in a picture."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.average_precision import Found, True_, overlaps
from dapeng.columns.base import Column
from dapeng.columns.boxes import found_in, right_ones, true_in
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.tasks.base import Prediction, Task, Told, Wrong
from dapeng.metrics.base import View
from dapeng.metrics.boxes import SIZES, BoxesView

CUTS = np.round(np.arange(0.05, 1.0, 0.05), 2)
NEAR = 0.1
"""Overlap from which on a wrong box is near a true one."""
SHOWN = 12
KINDS = ("missed", "wrong label", "badly placed", "double", "background")
"""Bolya et al.: TIDE, 2020 (https://arxiv.org/abs/2008.08115) sorts errors likewise."""


@tasks
class BoxesTask(Task):
    """Detection: average precision, then what is told from a score on, and the errors by kind."""

    type: Literal["boxes"] = "boxes"
    headline: ClassVar[str] = "ap50"
    beside: ClassVar[tuple[str, ...]] = ("ap50", "ap50_95", "box_f1")
    floor: ClassVar[str] = "the most frequent boxes"
    decides: ClassVar[bool] = True

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> BoxesView:
        found = found_in(dict(prediction))
        return BoxesView(found, true_in(values), len(column.labels), column.cut or 0.0)  # type: ignore[attr-defined]

    def paired(self, first: Told, second: Told) -> tuple[View, View]:
        each: list[list[str]] = [list(told[0].labels) for told in (first, second)]  # type: ignore[attr-defined]
        labels = list(dict.fromkeys([*each[0], *each[1]]))
        made = []
        for mine, told in zip(each, (first, second)):
            places = np.array([labels.index(label) for label in mine], np.int64)
            view = self.view(*told)
            found = [(b, s, places[c]) for b, s, c in view.found]
            made.append(BoxesView(found, [(b, places[c]) for b, c in view.true], len(labels), view.cut))
        return made[0], made[1]

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, BoxesView)
        labels: list[str] = list(column.labels)  # type: ignore[attr-defined]
        return {
            "labels": labels,
            "told_from": view.cut,
            "boxes_by_label": [_of_label(view, label, code) for code, label in enumerate(labels)],
            "sweep": sweep(view),
            "errors_by_kind": kinds_of_errors(view),
        }

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        """Pictures with most that is missed or told wrongly."""
        told, true = _told(found_in(dict(tensors)), found["told_from"]), true_in(tensors["truth"])
        right = np.array([right_ones(f, t).sum() for f, t in zip(told, true)])
        missed = np.array([len(t[1]) for t in true]) - right
        wrong = np.array([len(f[1]) for f in told]) - right
        order = np.argsort(-(missed + wrong), kind="stable")
        shown = [i for i in order[:count] if missed[i] + wrong[i]]
        labels = found["labels"]
        return [
            Wrong(
                int(rows[i]),
                _counted(labels, true[i][1]),
                _counted(labels, told[i][2]),
                0.0,
                f"{missed[i]} missed, {wrong[i]} wrong",
            )
            for i in shown
        ], int(((missed + wrong) > 0).sum())

    def which(self, shown: list[Wrong], every: int, rows: int) -> str:
        return f"in {every:,} of {rows:,} test pictures a box is missed or told wrongly. These have most of both."


def _counted(labels: list[str], codes: np.ndarray) -> str:
    found = [(int((codes == c).sum()), label) for c, label in enumerate(labels)]
    return ", ".join(f"{n} {label}" for n, label in found if n) or "nothing"


def _told(found: list[Found], cut: float) -> list[Found]:
    return [(b[s >= cut], s[s >= cut], c[s >= cut]) for b, s, c in found]


def _of_label(view: BoxesView, label: str, code: int) -> dict[str, Any]:
    """One label: average precision at 0.5 and at 0.5 to 0.95, also by size; and precision and recall of what is told."""
    one = np.ones((1, view.rows))
    ranked = view.of_label(code)
    row: dict[str, Any] = {"label": label, "true": int(ranked.true.sum()), "ap50": _number(ranked.average(0, one)[0])}
    for size in SIZES:
        each = [view.of_label(code, size).average(at, one)[0] for at in range(len(ranked.right))]
        row["ap50_95" if size == "all" else f"ap_{size}"] = _number(float(np.mean(each)))
    told = ranked.score >= view.cut
    right = int(ranked.right[0][told].sum())
    row["told"] = int(told.sum())
    row["precision"] = right / row["told"] if row["told"] else None
    row["recall"] = right / row["true"] if row["true"] else None
    return row


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def sweep(view: BoxesView) -> dict[str, list[float | None]]:
    """Precision, recall and F1 over scores from which on boxes are told."""
    scores = np.concatenate([f[1] for f in view.found]) if view.found else np.empty(0)
    right = (
        np.concatenate([right_ones(f, t) for f, t in zip(view.found, view.true)]) if view.found else np.empty(0, bool)
    )
    true = sum(len(t[1]) for t in view.true)
    said = [int((scores >= c).sum()) for c in CUTS]
    hits = [int(right[scores >= c].sum()) for c in CUTS]
    return {
        "cut": CUTS.tolist(),
        "precision": [h / s if s else None for h, s in zip(hits, said)],
        "recall": [h / true if true else None for h in hits],
        "f1": [2 * h / (s + true) if s + true else None for h, s in zip(hits, said)],
    }


def kinds_of_errors(view: BoxesView) -> dict[str, int]:
    """How many boxes are missed, and what is wrong with those that are told wrongly."""
    counts: dict[str, int] = {kind: 0 for kind in KINDS}  # noqa: C420
    for found, true in zip(_told(view.found, view.cut), view.true):
        kinds, missed = sorted_errors(found, true)
        counts["missed"] += int(missed.sum())
        for kind in kinds:
            if kind != "right":
                counts[kind] += 1
    return counts


def sorted_errors(found: Found, true: True_) -> tuple[list[str], np.ndarray]:
    """What each told box is ("right", or a kind of error), and (N,) which true boxes are missed: no right box, and none wrong only in label or place."""
    boxes, scores, codes = found
    right = right_ones(found, true)
    over = overlaps(boxes, true[0])
    same = codes[:, None] == true[1][None]
    kinds, near = [], np.zeros(len(true[1]), bool)
    for d in range(len(scores)):
        kind, at = _kind(right[d], over[d], same[d])
        kinds.append(kind)
        if at is not None:
            near[at] = True
    return kinds, ~near


def _kind(right: bool, over: np.ndarray, same: np.ndarray) -> tuple[str, int | None]:
    """What a told box is, and the true box that it is about."""
    own, other = np.where(same, over, 0.0), np.where(same, 0.0, over)
    if right:
        return "right", int(own.argmax())
    if own.max(initial=0.0) >= 0.5:
        return "double", int(own.argmax())
    if other.max(initial=0.0) >= 0.5:
        return "wrong label", int(other.argmax())
    if own.max(initial=0.0) >= NEAR:
        return "badly placed", int(own.argmax())
    return "background", None
