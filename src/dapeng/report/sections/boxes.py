"""Boxes that were found in test pictures: drawn, by label, over scores, and their errors by kind."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.average_precision import Found, True_
from dapeng.columns.boxes import found_in, true_in
from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.evaluate.tasks.boxes import sorted_errors
from dapeng.report.html import Safe, el, join, number, own, percent, table
from dapeng.report.pictures import scaled_uri
from dapeng.report.rows import Rows, cells_of, shown_as, tested_tensors
from dapeng.report.section import Section, outputs
from dapeng.report.svg import Line, lines

SHOWN = 8
LARGEST_SIDE = 480
MOST_BYTES = 1_000_000
COLOURS = ("#0b7285", "#c2255c", "#5f3dc4", "#2b8a3e", "#e67700", "#1864ab", "#862e9c", "#495057")
MISSED = "#e03131"


@sections
class BoxesSection(Section):
    """Drawn boxes, figures of each label, the sweep over scores, and kinds of errors."""

    type: Literal["boxes"] = "boxes"
    order: ClassVar[int] = 42
    title: ClassVar[str] = "Boxes"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if "boxes_by_label" in o}
        return join(*(_output(folder, n, o) for n, o in each.items())) if each else None


def _output(folder: RunFolder, name: str, found: dict[str, Any]) -> Safe:
    curves = el("div", _sweep(name, found["sweep"]), class_="charts")
    return join(_labels(name, found), curves, _errors(name, found), _gallery(folder, name, found))


def _labels(name: str, found: dict[str, Any]) -> Safe:
    head = ["Label", "True", "Told", "AP50", "AP50-95", "small", "medium", "large", "Precision", "Recall"]
    keys = ("ap50", "ap50_95", "ap_small", "ap_medium", "ap_large")
    rows = [
        [
            own(r["label"]),
            f"{r['true']:,}",
            f"{r['told']:,}",
            *(_figure(r[k]) for k in keys),
            *("–" if r[k] is None else percent(r[k]) for k in ("precision", "recall")),
        ]
        for r in found["boxes_by_label"]
    ]
    told = f" (told: from a score of {found['told_from']:.2f} on; AP by size is AP50-95 of boxes under 32², 32² to 96², over 96² pixels)"
    return table(join(own(name), ": each label", told), head, rows, range(1, 10))


def _figure(value: float | None) -> str:
    return "–" if value is None else number(value, 3)


def _sweep(name: str, found: dict[str, list[float | None]]) -> Safe:
    parts = []
    for key, title in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1")):
        known = [(c, v) for c, v in zip(found["cut"], found[key]) if c is not None and v is not None]
        tone: Any = "strong" if key == "f1" else "faint"
        drawn = [Line(title, [float(c) for c, _ in known], [float(v) for _, v in known], tone)]
        chart = lines(
            f"{name}: {title.lower()} over the score from which boxes are told",
            drawn,
            "score",
            title.lower(),
            (0, 1),
            (0, 1),
        )
        parts.append(el("figure", el("p", title, class_="head"), chart))
    return join(*parts)


def _errors(name: str, found: dict[str, Any]) -> Safe:
    kinds = found["errors_by_kind"]
    said = {
        "missed": "a true box that nothing told overlaps",
        "wrong label": "on a true box of another label",
        "badly placed": "near a true box of its label, and overlaps it by less than a half",
        "double": "on a true box that another one has already",
        "background": "on nothing",
    }
    return table(
        join(own(name), ": errors by kind"),
        ["Kind", "Boxes", "Is"],
        [[k, f"{n:,}", said.get(k, "")] for k, n in kinds.items()],
        [1],
    )


def _gallery(folder: RunFolder, name: str, found: dict[str, Any]) -> Safe | None:
    tensors, rows = tested_tensors(folder, name)
    if rows is None or not len(rows):
        return None
    at = np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))
    pictures = [n for n, kind in shown_as(folder).items() if kind == "image"]
    cells = cells_of(folder, pictures, [int(r) for r in rows[at]])
    if cells.why_not:
        return el("p", cells.why_not[:1].upper() + cells.why_not[1:] + ".", class_="note")
    told, true = found_in(tensors), true_in(tensors["truth"])
    used, cards = 0, []
    for i in at:
        card, size = _card(cells, int(rows[i]), told[i], true[i], found)
        used += size
        if used > MOST_BYTES:
            break
        cards.append(card)
    lead = el(
        "p", "Told boxes are drawn through, with their score; true ones that were missed are dashed.", class_="note"
    )
    return join(lead, el("ul", *cards, class_="gallery drawn"))


def _card(cells: Rows, row: int, told: Found, true: True_, found: dict[str, Any]) -> tuple[Safe, int]:
    cell = next((c for c in cells.cells.get(row, {}).values() if c), None)
    cell = (cell.get("bytes") or cell.get("path")) if isinstance(cell, dict) else cell
    made = scaled_uri(cell, cells.base, LARGEST_SIDE) if isinstance(cell, (str, bytes)) else None
    where = el("p", cells.where.get(row, f"row {row:,}"), class_="quiet")
    if made is None:
        return el("li", el("p", "can't be read any more", class_="quiet"), where), 0
    uri, width, height = made
    shown = tuple(part[told[1] >= found["told_from"]] for part in told)
    kinds, missed = sorted_errors(shown, true)  # type: ignore[arg-type]
    count = f"{len(shown[1])} told, {kinds.count('right')} of them right; {len(true[1])} true"
    drawing = el(
        "svg",
        el("title", count),
        el("image", href=uri, width=width, height=height),
        *_boxes(shown, true, missed, found["labels"], max(width, height) / 320, width),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=count,
    )
    return el("li", drawing, el("p", count), where), len(uri)


def _boxes(shown: Any, true: True_, missed: np.ndarray, labels: list[str], unit: float, width: int) -> list[Safe]:
    """Rectangles with their words; unit: pixels of the picture, which is so wide, to a pixel on the page, about."""
    parts = []
    for box, _, code in zip(*shown):
        parts.append(_rectangle(box, COLOURS[int(code) % len(COLOURS)], unit, None))
    for box, score, code in zip(*shown):  # above all frames, so that none runs through a word
        parts.append(_word(f"{labels[int(code)]} {score:.2f}", box, COLOURS[int(code) % len(COLOURS)], unit, width))
    for box, gone in zip(true[0], missed):
        if gone:
            parts.append(_rectangle(box, MISSED, unit, f"{4 * unit:.1f} {3 * unit:.1f}"))
    return parts


def _word(word: str, box: np.ndarray, colour: str, unit: float, width: int) -> Safe:
    """Above its box, or below the upper edge where there is no room; one that would leave the picture ends where its box does."""
    left, top, right, _ = (float(v) for v in box)
    ends = left > 0.7 * width
    return el(
        "text",
        word,
        x=round(right if ends else left, 1),
        y=round(top - 2 * unit if top > 12 * unit else top + 11 * unit, 1),
        font_size=round(10 * unit, 1),
        font_weight=700,
        text_anchor="end" if ends else "start",
        fill=colour,
        stroke="#fff",
        stroke_width=round(unit * 2.5, 1),
        stroke_linejoin="round",
        paint_order="stroke",
    )


def _rectangle(box: np.ndarray, colour: str, unit: float, dashes: str | None) -> Safe:
    x1, y1, x2, y2 = (round(float(v), 1) for v in box)
    return el(
        "rect",
        x=x1,
        y=y1,
        width=round(x2 - x1, 1),
        height=round(y2 - y1, 1),
        fill="none",
        stroke=colour,
        stroke_width=round(1.5 * unit, 1),
        stroke_dasharray=dashes,
    )
