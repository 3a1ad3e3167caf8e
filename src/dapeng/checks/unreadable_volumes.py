"""Volumes and label volumes that can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.checks.base import Check, Finding, Seen
from dapeng.columns.cells import raw_cells
from dapeng.columns.volumes import MOST_VOXELS, opened
from dapeng.core.kinds import checks

VOLUMES = 20


@checks
class UnreadableVolumes(Check):
    """Unreadable volumes, among some spread over the rows: headers are read (of a folder those of all slices), voxels are not."""

    type: Literal["unreadable_volumes"] = "unreadable_volumes"
    order: ClassVar[int] = 50

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("volume", "volume_mask")):
            rows = np.unique(np.linspace(0, len(column.cells) - 1, min(len(column.cells), VOLUMES)).astype(np.int64))
            cells = zip(rows, raw_cells(column.cells.take(pa.array(rows))))
            most = getattr(column.options, "max_voxels", getattr(column.options, "max_pixels", MOST_VOXELS))
            bad = [(int(r), why) for r, c in cells if c is not None and (why := _unreadable(c, seen.whole.base, most))]
            if bad:
                text = f"{column.name}: {len(bad)} of {len(rows)} volumes looked at can't be read"
                some, why = tuple(r for r, _ in bad[:5]), tuple(w for _, w in bad[:5])
                yield Finding("unreadable", (column.name,), some, text, examples=why)


def _unreadable(cell: object, base: Path | None, most: int) -> str:
    """Why a volume can't be read; nothing where it can."""
    try:
        opened(cell, base, most)
    except ValueError as error:
        return str(error)
    return ""
