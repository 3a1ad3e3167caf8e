"""The worst errors, shown: the pictures, texts or rows themselves."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.evaluate.tasks.base import Task, Wrong
from dapeng.report.html import Safe, el, join, number, own, percent, table
from dapeng.report.pictures import data_uri, strip_uri
from dapeng.report.rows import Rows, cells_of, cut, shown_as, task_in, worst
from dapeng.report.section import Section, outputs, resolved

MOST_TEXT = 600
MOST_CELL = 60
MOST_COLUMNS = 12
MOST_BYTES = 1_500_000
"""Of pictures in one report."""
SEEN: dict[str, Any] = {"image": data_uri, "video": strip_uri}
"""Columns that are shown as pictures, and how."""


@sections
class Errors(Section):
    """Wrong answers first: where the product was surest and still wrong."""

    type: Literal["errors"] = "errors"
    order: ClassVar[int] = 65
    title: ClassVar[str] = "Worst errors"

    def render(self, folder: RunFolder) -> Safe | None:
        evaluate = resolved(folder).get("spec", {}).get("evaluate", {})
        count = evaluate.get("errors_shown", 12)
        parts = [_output(folder, name, found, count) for name, found in outputs(folder).items()] if count else []
        return join(parts) if any(parts) else None


def _output(folder: RunFolder, name: str, found: dict[str, Any], count: int) -> Safe | None:
    shown, every = worst(folder, name, found, count)
    task = task_in(found)
    if not shown:
        right = task.decides or task.long
        return el("p", f"Not one of {found['rows']:,} test rows was answered wrongly.") if right else None
    types = shown_as(folder)
    rows = cells_of(folder, list(types), [w.row for w in shown])
    lead = join(own(name), ": ", task.which(shown, every, found["rows"]))
    why = el("p", rows.why_not[:1].upper() + rows.why_not[1:] + ".", class_="note") if rows.why_not else None
    return join(el("p", lead), why, _shown(shown, rows, types, name, task))


def _shown(shown: list[Wrong], rows: Rows, types: dict[str, str], name: str, task: Task) -> Safe:
    kinds = set(types.values())
    if rows.cells and kinds & set(SEEN):
        return _pictures(shown, rows, types, task)
    if task.long or (rows.cells and kinds == {"text"}):
        return _texts(shown, rows, types, task)
    return _table(shown, rows, types, name, task.decides)


def _answer(wrong: Wrong, task: Task) -> Safe:
    """What is true and what was said, in one line; long ones below each other."""
    if task.long:
        return _below(wrong, task)
    said = el("span", "said ", el("b", own(wrong.said)), f" ({task.how_wrong(wrong)})", class_="wrong")
    return el("p", el("span", "true ", el("b", own(wrong.truth)), class_="true"), " ", said)


def _below(wrong: Wrong, task: Task) -> Safe:
    """The true text and the one that was written, one below the other."""
    said = wrong.said if wrong.said is None else cut(wrong.said, MOST_TEXT) or "(nothing)"
    lines = [el("dt", "true"), el("dd", own(cut(wrong.truth, MOST_TEXT)), class_="true")]
    lines += [el("dt", "written"), el("dd", own(said), class_="wrong")] if said is not None else []
    return el("dl", *lines, el("dt", "score"), el("dd", task.how_wrong(wrong)))


def _pictures(shown: list[Wrong], rows: Rows, types: dict[str, str], task: Task) -> Safe:
    column, show = next((n, SEEN[t]) for n, t in types.items() if t in SEEN)
    used, cards = 0, []
    for wrong in shown:
        cell = rows.cells.get(wrong.row, {}).get(column)
        cell = (cell.get("bytes") or cell.get("path")) if isinstance(cell, dict) else cell
        made = show(cell, rows.base) if isinstance(cell, (str, bytes)) else None
        used += len(made[0]) if made else 0
        if used > MOST_BYTES:
            cards.append(el("li", f"{len(shown) - len(cards)} more are not shown: the report would grow too large"))
            break
        cards.append(_card(wrong, made, rows, task, [n for n, t in types.items() if t == "text"]))
    return el("ul", *cards, class_="gallery")


def _card(wrong: Wrong, made: tuple[str, int, int] | None, rows: Rows, task: Task, beside: list[str]) -> Safe:
    """A picture with what was said of it, and the texts that were read beside it."""
    cells = rows.cells.get(wrong.row, {})
    texts = [_cell(n, cells.get(n), len(beside) > 1) for n in beside]
    where = rows.where.get(wrong.row, f"row {wrong.row}")
    if made is None:
        picture: Safe = el("p", "can't be read any more", class_="quiet")
    else:
        uri, width, height = made
        small = "sharp" if max(width, height) <= 64 else None
        alt = f"Test picture, true {wrong.truth}, said {wrong.said}"
        picture = el("img", src=uri, alt=alt, width=width, height=height, class_=small, loading="lazy")
    return el("li", picture, *texts, _answer(wrong, task), el("p", where, class_="quiet"))


def _texts(shown: list[Wrong], rows: Rows, types: dict[str, str], task: Task) -> Safe:
    cards = []
    for wrong in shown:
        cells = rows.cells.get(wrong.row, {})
        texts = [_cell(n, cells.get(n), len(types) > 1) for n in types if n in cells]
        where = el("p", rows.where.get(wrong.row, f"row {wrong.row:,}"), class_="quiet")
        cards.append(el("li", *texts, _answer(wrong, task), where))
    return el("ol", *cards, class_="texts")


def _cell(name: str, value: Any, named: bool) -> Safe:
    """What was read, with its column's name where there are several."""
    head = join(el("span", own(name), class_="quiet"), " ") if named else None
    return el("blockquote", head, own(cut(value, MOST_TEXT)), dir="auto")


def _table(shown: list[Wrong], rows: Rows, types: dict[str, str], name: str, classes: bool) -> Safe:
    names = [n for n in types if n in next(iter(rows.cells.values()), {})][:MOST_COLUMNS]
    head = ["Row", "True", "Said", "Confidence" if classes else "Off by", *(own(n) for n in names)]
    body = []
    for wrong in shown:
        sure = percent(wrong.surety) if classes else number(wrong.surety)
        cells = rows.cells.get(wrong.row, {})
        where = rows.where.get(wrong.row, f"row {wrong.row:,}")
        body.append(
            [where, own(wrong.truth), own(wrong.said), sure, *(own(cut(cells.get(n), MOST_CELL)) for n in names)]
        )
    left = len(types) - len(names)
    more = f" ({left} more columns are not shown)" if names and left > 0 else ""
    return table(join(own(name), ": worst errors", more), head, body, [3])
