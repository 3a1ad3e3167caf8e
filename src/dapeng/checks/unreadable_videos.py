"""Videos that can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.checks.base import Check, Finding, Seen
from dapeng.columns.cells import located, raw_cells
from dapeng.columns.video import Video
from dapeng.core.kinds import checks

VIDEOS = 50


@checks
class UnreadableVideos(Check):
    """Unreadable videos, among some spread over the rows: headers and packets are read, frames are not decoded."""

    type: Literal["unreadable_videos"] = "unreadable_videos"
    order: ClassVar[int] = 50

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("video",)):
            rows = np.unique(np.linspace(0, len(column.cells) - 1, min(len(column.cells), VIDEOS)).astype(np.int64))
            cells = zip(rows, raw_cells(column.cells.take(pa.array(rows))))
            bad = [(int(r), why) for r, c in cells if c is not None and (why := _unreadable(c, seen.whole.base))]
            if bad:
                text = f"{column.name}: {len(bad)} of {len(rows)} videos looked at can't be read"
                some, why = tuple(r for r, _ in bad[:5]), tuple(w for _, w in bad[:5])
                yield Finding("unreadable", (column.name,), some, text, examples=why)


def _unreadable(cell: object, base: Path | None) -> str:
    """Why a video can't be read; nothing where it can."""
    try:
        with Video().reader(1, 8, 8).opened(located(cell, base)):
            return ""
    except ValueError as error:
        return str(error)
