"""How the network learnt, step by step."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number
from dapeng.report.section import Section
from dapeng.report.svg import Line, lines

KNOWN = {"fold", "phase", "step", "epoch", "learning_rate", "time", "checkpoint"}
MOST_POINTS = 200
TITLES = {
    "score": "Validation score",
    "loss": "Loss",
    "train_loss": "Training loss",
    "validation_loss": "Validation loss",
}


@sections
class Learning(Section):
    """Learning curves out of metrics.jsonl."""

    type: Literal["learning"] = "learning"
    order: ClassVar[int] = 60
    title: ClassVar[str] = "How the network learnt"

    def render(self, folder: RunFolder) -> Safe | None:
        entries = _entries(folder)
        if len(entries) < 2:
            return None
        names = [n for n in entries[-1] if n not in KNOWN and isinstance(entries[-1][n], (int, float))]
        scores = [n for n in names if n not in TITLES]
        if len(scores) == 1:
            names.remove("score") if "score" in names else None
        charts = [_chart(name, entries) for name in names][:6]
        best = max(entries, key=lambda e: e.get("score", float("-inf")))
        fold = "In the first fold, the" if "fold" in best else "The"
        said = f"{fold} weights of epoch {number(best.get('epoch', 0), 3)} (step {best.get('step', 0):,}) validated best and were kept."
        return join(el("p", said), el("div", *charts, class_="charts"))


def _entries(folder: RunFolder) -> list[dict[str, Any]]:
    """The validations; of a phase's step told twice, the later."""
    if not folder.has("metrics.jsonl"):
        return []
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for line in folder.file("metrics.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # half a line, where the run was killed
            continue
        if isinstance(entry, dict) and "loss" in entry and not entry.get("fold"):  # of several folds, the first
            found[(entry.get("phase"), entry.get("step"))] = entry
    entries = list(found.values())
    step = max(1, len(entries) // MOST_POINTS)
    return entries[::step] if entries[::step][-1:] == entries[-1:] else entries[::step] + entries[-1:]


def _chart(name: str, entries: list[dict[str, Any]]) -> Safe:
    title = TITLES.get(name, name.replace(".", ": "))
    points = [(e.get("epoch", e.get("step", 0)), e[name]) for e in entries if isinstance(e.get(name), (int, float))]
    line = Line(title, [x for x, _ in points], [y for _, y in points])
    chart = lines(f"{title} by epoch", [line], "epoch", title.rpartition(": ")[2].lower())
    return el(
        "figure",
        el("p", title, class_="head"),
        chart,
        el("figcaption", f"from {number(points[0][1])} to {number(points[-1][1])}"),
    )
