"""Sounds of test rows: the true one and the one that was made, to be played, with their spectra."""

from __future__ import annotations

import base64
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.log_mel import log_mel
from dapeng.columns.sounding import wav
from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, own
from dapeng.report.rows import cells_of, cut, shown_as, tested_tensors
from dapeng.report.section import Section, outputs

SHOWN = 6
MOST_BYTES = 1_500_000
"""Of all sounds in a report, as they stand in it."""
BANDS = 40
QUIET, LOUD = -16.0, -2.0
"""Of the logarithms of a band's power, that are drawn white and black."""


@sections
class SoundsSection(Section):
    """Players of what was made and what was said in truth."""

    type: Literal["sounds"] = "sounds"
    order: ClassVar[int] = 44
    title: ClassVar[str] = "Sounds"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if "sounds" in o}
        made = [_players(folder, n, o["sounds"]["rate"]) for n, o in each.items()]
        return join(*(m for m in made if m is not None)) or None if each else None


def _players(folder: RunFolder, name: str, rate: int) -> Safe | None:
    tensors, rows = tested_tensors(folder, name)
    if rows is None or not len(rows) or not np.asarray(tensors["length"]).any():
        return None
    at = np.sort(np.random.default_rng(0).permutation(len(rows))[:SHOWN])  # evenly spaced ones may all ask for the same
    read = [n for n, kind in shown_as(folder).items() if kind not in ("image", "audio")]
    cells = cells_of(folder, read, [int(r) for r in rows[at]])
    cards, used = [], 0
    for i in at:
        true = np.asarray(tensors["truth"][i], np.int16)
        said = np.asarray(tensors["samples"][i])[: int(tensors["length"][i])].astype(np.int16)
        card, size = _card(cells.cells.get(int(rows[i]), {}), int(rows[i]), true, said, rate)
        used += size
        if used > MOST_BYTES:
            break
        cards.append(card)
    head = el("p", own(name), ": the true sound of a test row, and the one that was made of its inputs.", class_="note")
    return join(head, el("ul", *cards, class_="gallery drawn heard"))


def _card(cells: dict[str, Any], row: int, true: np.ndarray, said: np.ndarray, rate: int) -> tuple[Safe, int]:
    asked = ", ".join(f"{n}: {cut(v, 60)}" for n, v in cells.items() if v is not None)
    parts, size = [], 0
    for words, samples in (("true", true), ("made", said)):
        uri = "data:audio/wav;base64," + base64.b64encode(wav(samples, rate)).decode()
        size += len(uri)
        heard = el("audio", src=uri, controls=True, preload="none", aria_label=f"{words} sound of row {row:,}")
        parts += [el("p", f"{words}, {len(samples) / rate:.2f} s", class_="quiet"), _spectrum(samples, rate), heard]
    return el("li", el("p", own(asked) if asked else f"row {row:,}"), *parts), size


def _spectrum(samples: np.ndarray, rate: int) -> Safe:
    """A small picture of the mel bands over time, low ones at the bottom."""
    import io

    from PIL import Image

    x = log_mel(samples if len(samples) else np.zeros(1, np.int16), rate, BANDS).T[::-1]
    grey = 255 - np.clip((x - QUIET) / (LOUD - QUIET), 0, 1) * 255
    picture = Image.fromarray(grey.astype(np.uint8)).resize((240, 80))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    return el("img", src=uri, alt="Mel bands over time", width=240, height=80, loading="lazy")
