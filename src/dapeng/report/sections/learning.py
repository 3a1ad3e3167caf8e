"""How the network learnt, step by step."""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number
from dapeng.report.section import Section, resolved
from dapeng.report.svg import Line, lines

KNOWN = {"fold", "phase", "step", "epoch", "learning_rate", "time", "checkpoint", "samples"}
MOST_POINTS = 200
ORDER = ("first", "second", "third", "fourth", "fifth")
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
        every = _phases(folder)
        if sum(map(len, every)) < 2:
            return None
        last = _scores(every[-1])
        before = [(at, p) for at, p in enumerate(every) if _scores(p) != last]
        phases = [p for p in every if _scores(p) == last]  # of phases that are judged by the same figures
        train = resolved(folder).get("spec", {}).get("train", {})
        twice = len(phases) > 1 and not train.get("phases") and not train.get("pretrain")
        best, at = _kept(phases if twice else phases[-1:])
        kept = at if twice else len(phases) - 1
        word = "attempt" if twice else "phase"
        charts = [_chart(name, [_thinned(p) for p in phases], kept, word) for name in _names(phases[-1])][:6]
        of = f" of the {ORDER[kept]} {word}" if len(phases) > 1 and kept < len(ORDER) else ""
        again = ""
        if twice:
            again = "The best came early, so the network was trained anew over fewer epochs, to end near there. "
        fold = "In the first fold, the" if "fold" in best else "The"
        said = f"{again}{fold} weights of epoch {number(best.get('epoch', 0), 3)} (step {best.get('step', 0):,}){of} validated best and were kept."
        parts = [el("p", said), el("div", *charts, class_="charts")]
        for number_, phase in before:
            name = ORDER[number_] if number_ < len(ORDER) else f"{number_ + 1}th"
            parts.append(el("p", f"Before that, in the {name} phase, another figure was learnt by:"))
            shown = [_chart(n, [_thinned(phase)], 0, word) for n in _names(phase)][:4]
            parts.append(el("div", *shown, class_="charts"))
        return join(*parts)


def _scores(phase: list[dict[str, Any]]) -> list[str]:
    """The figures of a phase beside score and loss."""
    last = phase[-1]
    return [n for n in last if n not in KNOWN and n not in TITLES and isinstance(last[n], (int, float))]


def _names(phase: list[dict[str, Any]]) -> list[str]:
    """What is drawn of a phase; a score that is the only figure is not drawn twice."""
    last = phase[-1]
    names = [n for n in last if n not in KNOWN and isinstance(last[n], (int, float))]
    if len(_scores(phase)) == 1 or any(n.endswith("perplexity") for n in names):
        names = [n for n in names if n != "score"]
    return names


def _phases(folder: RunFolder) -> list[list[dict[str, Any]]]:
    """The validations of each phase in its order; of a phase's step told twice, the later. A second attempt is a phase too."""
    if not folder.has("metrics.jsonl"):
        return []
    found: dict[Any, dict[Any, dict[str, Any]]] = {}
    for line in folder.file("metrics.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # half a line, where the run was killed
            continue
        if isinstance(entry, dict) and "loss" in entry and not entry.get("fold"):  # of several folds, the first
            found.setdefault(entry.get("phase"), {})[entry.get("step")] = entry
    return [list(steps.values()) for steps in found.values()]


def _kept(phases: list[list[dict[str, Any]]]) -> tuple[dict[str, Any], int]:
    """The entry whose weights were kept, as training judges it (by score, then by loss, the first of equals), and its phase."""

    def merit(entry: dict[str, Any]) -> tuple[float, float]:
        score, loss = entry.get("score"), entry.get("loss")
        return -math.inf if score is None else score, -math.inf if loss is None else -loss

    entries = [(e, at) for at, phase in enumerate(phases) for e in phase]
    return max(entries, key=lambda found: merit(found[0]))


def _thinned(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most about MOST_POINTS of a phase, its last among them."""
    step = max(1, len(entries) // MOST_POINTS)
    return entries[::step] if entries[::step][-1:] == entries[-1:] else entries[::step] + entries[-1:]


def _chart(name: str, phases: list[list[dict[str, Any]]], kept: int, word: str) -> Safe:
    """A line for each phase: strong for the one that was kept. Each begins at epoch 0 of its own."""
    title = TITLES.get(name, name.replace(".", ": ").replace("_", " "))
    curves, ends = [], []
    for at, entries in enumerate(phases):
        points = [(e.get("epoch", e.get("step", 0)), e[name]) for e in entries if isinstance(e.get(name), (int, float))]
        if not points:
            continue
        tone = "strong" if at == kept else "faint"
        curves.append(Line(f"{title}, {word} {at + 1}", [x for x, _ in points], [y for _, y in points], tone))
        ends.append((at, f"from {number(points[0][1])} to {number(points[-1][1])}"))
    said = ends[0][1]
    if len(phases) > 1:
        said = "; ".join(f"{word} {at + 1} ({'thick' if at == kept else 'thin'} line): {end}" for at, end in ends)
    chart = lines(f"{title} by epoch", curves, "epoch", title.rpartition(": ")[2].lower())
    return el("figure", el("p", title, class_="head"), chart, el("figcaption", said))
