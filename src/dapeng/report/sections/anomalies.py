"""Anomalies of test rows: heat over what was read beside the true mask, and the scores of good and faulty pictures."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number, own, table
from dapeng.report.pictures import overlaid
from dapeng.report.rows import Rows, cells_of, shown_as, tested_tensors
from dapeng.report.section import Section, outputs

FAULTY, GOOD = 6, 2
"""Pictures of each that are shown."""
LARGEST_SIDE = 240
MOST_BYTES = 1_200_000
TRUE, HOT = (11, 114, 133, 150), (224, 49, 49)


@sections
class AnomaliesSection(Section):
    """Heat maps, and how scores of good and of faulty pictures lie."""

    type: Literal["anomalies"] = "anomalies"
    order: ClassVar[int] = 44
    title: ClassVar[str] = "Heat maps"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if o.get("task") == "anomaly"}
        return join(*(join(_scores(n, o), _gallery(folder, n, o)) for n, o in each.items())) if each else None


def _scores(name: str, found: dict[str, Any]) -> Safe:
    scores = found["scores"]
    rows = [
        [f"{number(low, 3)} to {number(high, 3)}", good, faulty]
        for low, high, good, faulty in zip(scores["edges"], scores["edges"][1:], scores["good"], scores["faulty"])
        if good or faulty
    ]
    cut = (
        "no threshold could be chosen"
        if found["called_from"] is None
        else f"threshold {number(found['called_from'], 4)}"
    )
    return table(join(own(name), f": scores of test rows ({cut})"), ["Score", "Good", "Faulty"], rows, [1, 2])


def _gallery(folder: RunFolder, name: str, found: dict[str, Any]) -> Safe | None:
    tensors, rows = tested_tensors(folder, name)
    if rows is None or not len(rows):
        return None
    frame = tuple(found["frame"])
    codes = np.asarray(tensors["truth"]).reshape(len(rows), *frame)
    heat = np.asarray(tensors["heat"], np.float32).reshape(len(rows), *frame)
    faulty = (codes != 0).any((1, 2))
    at = np.concatenate([_some(np.flatnonzero(faulty), FAULTY), _some(np.flatnonzero(~faulty), GOOD)])
    cells = cells_of(folder, [n for n, kind in shown_as(folder).items() if kind == "image"], [int(rows[i]) for i in at])
    if cells.why_not:
        return el("p", cells.why_not[:1].upper() + cells.why_not[1:] + ".", class_="note")
    used, cards = 0, []
    for i in at:
        words = f"{'faulty' if faulty[i] else 'good'}, score {number(float(tensors['score'][i]), 4)}"
        layers = [_marked(codes[i]), _heated(heat[i], max(found["called_from"] or 0.0, float(heat[i].max())))]
        card, size = _card(
            cells, int(rows[i]), layers, np.asarray(tensors["affine"][i], np.float64).reshape(2, 3), words
        )
        used += size
        if used > MOST_BYTES:
            break
        cards.append(card)
    note = "Left what is truly faulty, right the heat: full red is the hottest place of a picture, or the threshold where that is higher."
    return join(el("p", note, class_="note"), el("ul", *cards, class_="gallery drawn"))


def _some(rows: np.ndarray, count: int) -> np.ndarray:
    """At most so many, spread over all."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))] if len(rows) else rows


def _card(cells: Rows, row: int, layers: list[np.ndarray], affine: np.ndarray, words: str) -> tuple[Safe, int]:
    cell = next((c for c in cells.cells.get(row, {}).values() if c), None)
    cell = (cell.get("bytes") or cell.get("path")) if isinstance(cell, dict) else cell
    where = el("p", cells.where.get(row, f"row {row:,}"), class_="quiet")
    made = overlaid(cell, cells.base, layers, affine, LARGEST_SIDE) if cell else None
    if made is None:
        return el("li", el("p", "can't be read any more", class_="quiet"), where), 0
    alts = ("what is faulty", "the heat")
    images = [
        el("img", src=uri, alt=f"Test picture with {alt}; {words}", loading="lazy") for uri, alt in zip(made, alts)
    ]
    return el("li", el("div", *images, class_="maps"), el("p", words), where), sum(map(len, made))


def _marked(codes: np.ndarray) -> np.ndarray:
    """(Y, X, 4) uint8 of the pixels that are faulty."""
    out = np.zeros((*codes.shape, 4), np.uint8)
    out[codes == 1] = TRUE
    return out


def _heated(heat: np.ndarray, hottest: float) -> np.ndarray:
    """(Y, X, 4) uint8: red as strong as the heat is, squared so that what is lukewarm stays pale."""
    out = np.zeros((*heat.shape, 4), np.uint8)
    out[..., :3] = HOT
    out[..., 3] = np.rint(190 * np.clip(heat / max(hottest, 1e-9), 0, 1) ** 2)
    return out
