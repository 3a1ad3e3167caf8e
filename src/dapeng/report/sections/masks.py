"""Label pictures of test rows: drawn over what was read, and figures of each label."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number, own, percent, table
from dapeng.report.pictures import overlaid, overlaid_slice
from dapeng.report.rows import Rows, cells_of, shown_as, tested_tensors
from dapeng.report.section import Section, outputs

SHOWN = 6
LARGEST_SIDE = 320
MOST_BYTES = 1_200_000
COLOURS = (
    (11, 114, 133),
    (224, 49, 49),
    (95, 61, 196),
    (230, 119, 0),
    (43, 138, 62),
    (194, 37, 92),
    (24, 100, 171),
    (73, 80, 87),
)
VOID = 255


@sections
class MasksSection(Section):
    """Overlays of truth and answer, and figures of each label."""

    type: Literal["masks"] = "masks"
    order: ClassVar[int] = 43
    title: ClassVar[str] = "Masks"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if "masks_by_label" in o}
        return join(*(join(_labels(n, o), _gallery(folder, n, o)) for n, o in each.items())) if each else None


def _labels(name: str, found: dict[str, Any]) -> Safe:
    rows = [
        [own(r["label"]), percent(r["share"]), percent(r["said"]), *(_figure(r[k]) for k in ("dice", "iou", "hd95"))]
        for r in found["masks_by_label"]
    ]
    head = ["Label", "Of all pixels", "Said of", "Dice", "IoU", f"HD95 ({found.get('unit', 'pixels')})"]
    left_out = join(": each label (means leave out ", own(found["background"]), ")")
    return table(join(own(name), left_out), head, rows, range(1, 6))


def _figure(value: float | None) -> str:
    return "–" if value is None else number(value, 3)


def _gallery(folder: RunFolder, name: str, found: dict[str, Any]) -> Safe | None:
    tensors, rows = tested_tensors(folder, name)
    if rows is None or not len(rows):
        return None
    at = np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))
    pictures = [n for n, kind in shown_as(folder).items() if kind in ("image", "volume")]
    cells = cells_of(folder, pictures, [int(r) for r in rows[at]])
    if cells.why_not:
        return el("p", cells.why_not[:1].upper() + cells.why_not[1:] + ".", class_="note")
    used, cards = 0, []
    for i in at:
        card, size = _card(cells, int(rows[i]), tensors, int(i), found)
        used += size
        if used > MOST_BYTES:
            break
        cards.append(card)
    labels = [(c, label) for c, label in enumerate(found["labels"]) if label != found["background"]]
    key = [join(_swatch(c), own(label), " ") for c, label in labels]
    words = "Left the truth, in the middle the answer, on the right in red where they differ. Coloured: "
    said = el("p", words, *key, class_="note")
    return join(said, el("ul", *cards, class_="gallery drawn wide"))


def _swatch(code: int) -> Safe:
    colour = "#{:02x}{:02x}{:02x}".format(*COLOURS[code % len(COLOURS)])
    square = el("rect", width=10, height=10, fill=colour)
    return el("svg", square, viewBox="0 0 10 10", width=10, height=10, aria_hidden="true")


def _card(cells: Rows, row: int, tensors: dict[str, np.ndarray], i: int, found: dict[str, Any]) -> tuple[Safe, int]:
    cell = next((c for c in cells.cells.get(row, {}).values() if c), None)
    cell = (cell.get("bytes") or cell.get("path")) if isinstance(cell, dict) else cell
    where = el("p", cells.where.get(row, f"row {row:,}"), class_="quiet")
    frame = tuple(found["frame"])
    said, true = (np.asarray(tensors[k][i]).astype(np.int64).reshape(frame) for k in ("codes", "truth"))
    if len(frame) == 3:
        at = _fullest(true, found)
        where = el("p", cells.where.get(row, f"row {row:,}"), f", slice {at} as it is read", class_="quiet")
        said, true = said[at], true[at]
        made = (
            overlaid_slice(cell, cells.base, _layers(said, true, found), at / frame[0], LARGEST_SIDE) if cell else None
        )
    else:
        affine = np.asarray(tensors["affine"][i], np.float64).reshape(2, 3)
        made = overlaid(cell, cells.base, _layers(said, true, found), affine, LARGEST_SIDE) if cell else None
    if made is None:
        return el("li", el("p", "can't be read any more", class_="quiet"), where), 0
    share = (said != true)[true != VOID].mean() if (true != VOID).any() else 0.0
    words = f"{percent(float(share))} of the pixels differ"
    alts = ("the truth", "the answer", "where they differ")
    images = [
        el("img", src=uri, alt=f"Test picture with {alt}; {words}", loading="lazy") for uri, alt in zip(made, alts)
    ]
    return el("li", el("div", *images, class_="maps"), el("p", words), where), sum(map(len, made))


def _fullest(true: np.ndarray, found: dict[str, Any]) -> int:
    """The slice of a volume with the most that is neither background nor void."""
    background = found["labels"].index(found["background"])
    return int(((true != background) & (true != VOID)).sum((1, 2)).argmax())


def _layers(said: np.ndarray, true: np.ndarray, found: dict[str, Any]) -> list[np.ndarray]:
    """(Y, X, 4) uint8 of the truth, of the answer, and of their differences."""
    background = found["labels"].index(found["background"])
    wrong = np.zeros((*said.shape, 4), np.uint8)
    wrong[(said != true) & (true != VOID)] = (224, 49, 49, 200)
    return [_coloured(true, background), _coloured(said, background), wrong]


def _coloured(codes: np.ndarray, background: int) -> np.ndarray:
    out = np.zeros((*codes.shape, 4), np.uint8)
    for code in np.unique(codes):
        if code not in (background, VOID):
            out[codes == code] = (*COLOURS[int(code) % len(COLOURS)], 110)
    return out
