"""The worst errors, shown: the pictures, texts or rows themselves."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.evaluate.tasks.base import Wrong
from dapeng.report.html import Safe, el, join, number, own, percent, table
from dapeng.report.pictures import data_uri
from dapeng.report.rows import Rows, cells_of, shown_as, task_in, worst
from dapeng.report.section import Section, outputs, resolved

MOST_TEXT = 600
MOST_CELL = 60
MOST_COLUMNS = 12
MOST_BYTES = 1_500_000
"""Of pictures in one report."""


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
    classes = task_in(found).decides
    if not shown:
        return el("p", f"Not one of {found['rows']:,} test rows was answered wrongly.") if classes else None
    types = shown_as(folder)
    rows = cells_of(folder, list(types), [w.row for w in shown])
    if classes:
        lead = join(
            own(name),
            f": {every:,} of {found['rows']:,} test rows are wrong ({every / found['rows']:.1%}). These are the surest of them.",
        )
    else:
        lead = join(own(name), f": the {len(shown)} largest of {every:,} errors.")
    why = el("p", rows.why_not[:1].upper() + rows.why_not[1:] + ".", class_="note") if rows.why_not else None
    return join(el("p", lead), why, _shown(shown, rows, types, name, classes))


def _shown(shown: list[Wrong], rows: Rows, types: dict[str, str], name: str, classes: bool) -> Safe:
    kinds = set(types.values())
    if rows.cells and "image" in kinds:
        return _pictures(shown, rows, types, classes)
    if rows.cells and kinds == {"text"}:
        return _texts(shown, rows, types, classes)
    return _table(shown, rows, types, name, classes)


def _answer(wrong: Wrong, classes: bool) -> Safe:
    """What is true and what was said, in one line."""
    sure = percent(wrong.surety, 0) if classes else f"off by {number(wrong.surety)}"
    said = el("span", "said ", el("b", own(wrong.said)), f" ({sure})", class_="wrong")
    return join(el("span", "true ", el("b", own(wrong.truth)), class_="true"), " ", said)


def _pictures(shown: list[Wrong], rows: Rows, types: dict[str, str], classes: bool) -> Safe:
    column = next(n for n, t in types.items() if t == "image")
    used, cards = 0, []
    for wrong in shown:
        cell = rows.cells.get(wrong.row, {}).get(column)
        cell = (cell.get("bytes") or cell.get("path")) if isinstance(cell, dict) else cell
        made = data_uri(cell, rows.base) if isinstance(cell, (str, bytes)) else None
        used += len(made[0]) if made else 0
        if used > MOST_BYTES:
            cards.append(el("li", f"{len(shown) - len(cards)} more are not shown: the report would grow too large"))
            break
        cards.append(_card(wrong, made, rows, classes))
    return el("ul", *cards, class_="gallery")


def _card(wrong: Wrong, made: tuple[str, int, int] | None, rows: Rows, classes: bool) -> Safe:
    where = rows.where.get(wrong.row, f"row {wrong.row}")
    if made is None:
        picture: Safe = el("p", "can't be read any more", class_="quiet")
    else:
        uri, width, height = made
        small = "sharp" if max(width, height) <= 64 else None
        alt = f"Test picture, true {wrong.truth}, said {wrong.said}"
        picture = el("img", src=uri, alt=alt, width=width, height=height, class_=small, loading="lazy")
    return el("li", picture, el("p", _answer(wrong, classes)), el("p", where, class_="quiet"))


def _texts(shown: list[Wrong], rows: Rows, types: dict[str, str], classes: bool) -> Safe:
    cards = []
    for wrong in shown:
        cells = rows.cells.get(wrong.row, {})
        texts = [el("blockquote", own(_cut(cells.get(n), MOST_TEXT)), dir="auto") for n in types]
        where = el("span", rows.where.get(wrong.row, ""), class_="quiet")
        cards.append(el("li", *texts, el("p", _answer(wrong, classes), " ", where)))
    return el("ol", *cards, class_="texts")


def _table(shown: list[Wrong], rows: Rows, types: dict[str, str], name: str, classes: bool) -> Safe:
    names = [n for n in types if n in next(iter(rows.cells.values()), {})][:MOST_COLUMNS]
    head = ["Row", "True", "Said", "Confidence" if classes else "Off by", *(own(n) for n in names)]
    body = []
    for wrong in shown:
        sure = percent(wrong.surety) if classes else number(wrong.surety)
        cells = rows.cells.get(wrong.row, {})
        where = rows.where.get(wrong.row, f"row {wrong.row:,}")
        body.append(
            [where, own(wrong.truth), own(wrong.said), sure, *(own(_cut(cells.get(n), MOST_CELL)) for n in names)]
        )
    left = len(types) - len(names)
    more = f" ({left} more columns are not shown)" if names and left > 0 else ""
    return table(join(own(name), ": worst errors", more), head, body, [3])


def _cut(value: Any, most: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, (bytes, dict)):
        return f"({type(value).__name__})"
    text = number(value, 6) if isinstance(value, (int, float)) else str(value)
    return text if len(text) <= most else text[: most - 1] + "…"
