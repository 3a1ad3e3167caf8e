"""What the run reaches, in words and at a glance: comes first."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.evaluate.words import in_a_sentence
from dapeng.report.html import Safe, duration, el, figure_of, join, number, own
from dapeng.report.section import Section, outputs, read
from dapeng.report.svg import ladder


@sections
class VerdictSection(Section):
    """The verdict: the headline figure with its interval, beside the floor and the best baseline."""

    type: Literal["verdict"] = "verdict"
    order: ClassVar[int] = 10
    title: ClassVar[str] = "Verdict"

    def render(self, folder: RunFolder) -> Safe | None:
        found = read(folder, "metrics.json")
        if not found:
            return None
        each = outputs(folder)
        if not each:
            return el("p", found.get("verdict", ""), class_="lead")
        parts = [_output(name, output, found, len(each) > 1) for name, output in each.items()]
        notes = [el("p", note) for note in found.get("notes", [])]
        return join(*parts, *notes, _facts(folder, found))


def _output(name: str, found: dict[str, Any], whole: dict[str, Any], several: bool) -> Safe:
    metric = found["headline"]
    figure = found["metrics"][metric]
    title = found["titles"][metric]
    title = in_a_sentence(title)
    unit = el("p", title if not several else join(own(name), ": ", title), class_="what")
    bounds = None
    if figure["low"] is not None:
        level = f"{whole.get('confidence', 0.95):.0%} interval"
        reach = f"{figure_of(metric, figure['low'])} to {figure_of(metric, figure['high'])}"
        bounds = el("p", f"{level} {reach}", class_="bounds")
    big = el("div", el("p", figure_of(metric, figure["value"]), class_="big"), unit, bounds, class_="headline")
    words = el("p", found.get("words", ""), class_="lead")
    return el("div", big, el("div", words, _ladder(found), class_="said"), class_="hero")


def _ladder(found: dict[str, Any]) -> Safe | None:
    metric = found["headline"]
    rows = {r["role"]: r for r in reversed(found["leaderboard"])}
    product = rows.get("product")
    rivals = [r for r in found["leaderboard"] if r["role"] in ("learner", "baseline") and r["name"] != "constant"]
    floor = next((r for r in found["leaderboard"] if r["name"] == "constant"), None)
    marks = []
    if product is None or not (rivals or floor):
        return None
    for tone, label, row in (
        ("strong", "product", product),
        ("rival", rivals[0]["name"] if rivals else "", rivals[0] if rivals else None),
        ("floor", "constant", floor),
    ):
        if row is not None:
            value = row["metrics"][metric]
            marks.append(
                (tone, f"{label} {figure_of(metric, value['value'])}", value["value"], value["low"], value["high"])
            )
    marks = [marks[0], *((t, n, v, None, None) for t, n, v, _, _ in marks[1:])]
    lower = not found["higher_is_better"][metric]
    return ladder("The product beside the best baseline and a constant answer", marks, lower)


def _facts(folder: RunFolder, found: dict[str, Any]) -> Safe:
    seconds = found.get("seconds", {})
    size = sum(f.stat().st_size for n in ("weights.safetensors", "learners") for f in _files(folder, n))
    facts = [("Test rows", number(found.get("rows"))), ("Split", found.get("how", "–"))]
    if seconds:
        facts.append(("Took", f"{duration(seconds.get('wall'))} ({number(seconds.get('cpu'), 3)} CPU seconds)"))
    for name, one in _paces(folder).items():
        what = f"{number(one['real_time_factor'], 2)} s for a second that is {one['of']} ({number(one['threads'])} thread{'s' * (one['threads'] > 1)})"
        facts.append((f"Real-time factor{name}", what))
    facts.append(("Model on disk", f"{size / 1e6:.2f} MB" if size else "–"))
    return el("dl", *(el("div", el("dt", name), el("dd", value)) for name, value in facts), class_="facts")


def _paces(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """By the end of its title: how long the network computes for a second of sound."""
    each = {n: o["pace"] for n, o in outputs(folder).items() if "pace" in o}
    return {f" of {n}" if len(each) > 1 else "": p for n, p in each.items()}


def _files(folder: RunFolder, name: str):
    path = folder.path / name
    return [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
