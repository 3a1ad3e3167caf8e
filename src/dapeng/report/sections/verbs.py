"""What was done with the run afterwards: compressed, exported. One section each, out of the JSON that the verb left."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, ClassVar, Literal

from dapeng.core.kinds import metrics, sections
from dapeng.core.run import RunFolder
from dapeng.evaluate.words import without_unit
from dapeng.report.html import (
    Content,
    Safe,
    decimals_of,
    duration,
    el,
    figure_of,
    join,
    number,
    own,
    percent,
    signed,
    size,
    table,
)
from dapeng.report.section import Section, read
from dapeng.report.sections.figures import EQUAL

MOST_ROWS = 60
MOST_FILES = 12
TOLD = ("format", "file", "folder", "files", "bytes", "checked_on", "rows_compared", "requires", "lacks")
TOLD += ("largest_difference", "network_difference", "differences_by_rows", "cpu_seconds")
"""Keys of an export that have a place of their own."""


@sections
class Compression(Section):
    """Size, speed and every metric, before and after."""

    type: Literal["compress"] = "compress"
    order: ClassVar[int] = 84
    title: ClassVar[str] = "Smaller"

    def render(self, folder: RunFolder) -> Safe | None:
        found = read(folder, "compress.json")
        rows = found.get("table", [])
        if not rows:
            return None
        costs = [_cost(r) for r in rows if r["unit"]]
        figures: dict[str, list[list[Content]]] = {}
        for row in rows:
            output, _, metric = row["measure"].rpartition(" ")
            if not row["unit"] and metric not in EQUAL:
                figures.setdefault(output, []).append(_figure(metric, row))
        made = PurePath(str(found.get("from", ""))).name
        lead = el("p", "The network of ", own(made), " by the method ", el("code", found.get("method", "")), ".")
        timed = f"Timed on {found['timed_on']}, on one thread." if found.get("timed_on") else ""
        notes = el("p", f"{timed} {_sentence(found.get('metrics_on'))}".strip(), class_="note")
        head = ["Before", "After", "Change"]
        tables = [table("Size and speed", ["What", *head], costs, [1, 2, 3], "figures")]
        for output, body in figures.items():
            caption = join(own(output), ": every metric on the same rows")
            tables.append(table(caption, ["Metric", *head], body[:MOST_ROWS], [1, 2, 3], "figures"))
        return join(lead, *tables, notes)


def _sentence(text: Any) -> str:
    said = str(text or "")
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _cost(row: dict[str, Any]) -> list[Content]:
    """A size or a latency, and by how much it fell."""
    before, after, unit = row["before"], row["after"], row["unit"]
    what = own(str(row["measure"]).capitalize())
    if unit != "bytes":
        kind, _, how = unit.partition(", ")
        what = join(what, el("span", how, class_="role")) if how else what
        shown = [f"{number(v, 3)} {kind}" for v in (before, after)]
    else:
        shown = [size(v) for v in (before, after)]
    return [what, *shown, f"{signed(100 * (after / before - 1), 1)} %" if before else ""]


def _figure(metric: str, row: dict[str, Any]) -> list[Content]:
    """A metric, and whether it got better."""
    before, after = row["before"], row["after"]
    known = metrics.members().get(metric)
    title = getattr(known, "title", "") or metric
    higher = getattr(known, "higher_is_better", True)
    shown: list[Content] = [own(title), figure_of(metric, before), figure_of(metric, after)]
    if before is None or after is None:
        return [*shown, ""]
    gap, largest = after - before, max(abs(before), abs(after))
    decimals = 3 if without_unit(metric) else decimals_of([largest]) + 1
    if largest >= 1.0005:
        shown[1:] = [f"{v:,.{decimals}f}" for v in (before, after)]
    change = f"{signed(100 * gap, 2)} pt" if metric == "accuracy" else signed(gap, decimals + 1)
    if not change.startswith(("+", "−")):
        return [*shown, el("span", "the same", class_="quiet")]
    return [*shown, join(change, el("span", "better" if (gap > 0) == higher else "worse", class_="role"))]


@sections
class Export(Section):
    """Formats that the model was written in, and how near they are to it."""

    type: Literal["export"] = "export"
    order: ClassVar[int] = 86
    title: ClassVar[str] = "Exported"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: f for n, f in read(folder, "export.json").items() if isinstance(f, dict)}
        if not each:
            return None
        head = ["Format", "Written to", "Size", "Checked on", "Largest difference"]
        made = table(
            "What was written, and how near it predicts", head, [_row(folder, n, f) for n, f in each.items()], [2]
        )
        said = "Each was run beside the original before it was kept. Differences are relative for values above 1."
        notes = [_needs(n, f) for n, f in each.items()]
        return join(made, el("p", said, class_="note"), *notes, *(_details(n, f) for n, f in each.items()))


def _row(folder: RunFolder, name: str, found: dict[str, Any]) -> list[Content]:
    place = str(found.get("file") or found.get("folder") or "")
    files = found.get("files") or []
    listed = ", ".join(map(str, files[:MOST_FILES])) + (" …" if len(files) > MOST_FILES else "")
    where = join(el("code", _inside(folder, place)), el("span", own(listed), class_="path quiet") if files else None)
    return [own(name), where, size(_bytes(folder, place, found)), _checked(found), _difference(found)]


def _inside(folder: RunFolder, place: str) -> str:
    """The place from the run folder on, wherever that lay when it was written."""
    parts = PurePath(place).parts
    return "/".join(parts[parts.index(folder.name) + 1 :]) if folder.name in parts[:-1] else place


def _bytes(folder: RunFolder, place: str, found: dict[str, Any]) -> float | None:
    if isinstance(found.get("bytes"), (int, float)):
        return found["bytes"]
    path = folder.path / _inside(folder, place)
    files = [f for f in path.rglob("*") if f.is_file()] if place and path.is_dir() else []
    return sum(f.stat().st_size for f in files) or None


def _checked(found: dict[str, Any]) -> Safe:
    sizes = list(found.get("differences_by_rows") or {})
    batches = f", in batches of {', '.join(sizes[:-1])} and {sizes[-1]}" if len(sizes) > 1 else ""
    took = f" ({duration(found['cpu_seconds'])})" if isinstance(found.get("cpu_seconds"), (int, float)) else ""
    return join(own(found.get("checked_on", "–")), f"{batches}{took}")


def _difference(found: dict[str, Any]) -> str:
    worst = found.get("largest_difference")
    return "none" if worst == 0 else number(worst, 2)


def _needs(name: str, found: dict[str, Any]) -> Safe:
    """What it lacks of the product, and what it needs to run."""
    parts = []
    for output, shares in (found.get("lacks") or {}).items():
        lost = ", ".join(f"{m} {percent(s, 0)}" for m, s in shares.items())
        parts.append(
            el("p", own(name), " holds the network alone: of ", own(output), f" it lacks {lost}.", class_="note")
        )
    if found.get("requires"):
        needs = ", ".join(map(str, found["requires"]))
        parts.append(el("p", own(name), " needs ", el("code", needs), " and nothing else.", class_="note"))
    return join(parts)


def _details(name: str, found: dict[str, Any]) -> Safe | None:
    """What else the format says of itself."""
    rest = [[own(k), own(v)] for k, v in _flat({k: v for k, v in found.items() if k not in TOLD})]
    if not rest:
        return None
    made = table(join(own(name), ": what it reads and gives"), ["What", "Value"], rest[:MOST_ROWS])
    return el("details", el("summary", own(name), " in detail"), made)


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{path} › {key}" if path else str(key))]
    if isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        return [pair for i, inner in enumerate(value, 1) for pair in _flat(inner, f"{path} {i}")]
    text = ", ".join(map(str, value)) if isinstance(value, list) else number(value)
    return [(path, text[:200])]
