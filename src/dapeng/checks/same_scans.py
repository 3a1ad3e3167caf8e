"""Volumes or slices of one file, named as PATH#NUMBER, that stand on both sides of the split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Check, Finding, Seen, first, quoted
from dapeng.columns.medical import parted
from dapeng.core.kinds import checks


@checks
class SameScans(Check):
    """Files of which several rows name a volume or a slice each: what they show is of one patient, so they belong together."""

    type: Literal["same_scans"] = "same_scans"
    order: ClassVar[int] = 20

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("volume", "image"), targets=False):
            if not column.plain:
                continue
            cells, what = column.cells.to_pylist(), "slices" if column.options.type == "image" else "volumes"
            for side, rows, share in seen.across(_files(cells)):
                text = f"{column.name}: {len(rows):,} {side} ({share:.1%}) are {what} of a file of which {seen.elsewhere} has others"
                todo = "a column that names the patient, `columns: {patient: group}`, keeps them together"
                shown = tuple(quoted(cells[r]) for r in first(rows))
                yield Finding(
                    "same_scans", (column.name,), first(rows), f"{text}: the score will flatter; {todo}", examples=shown
                )


def _files(cells: list[object]) -> np.ndarray:
    """(rows,) the code of the file that a row names a part of; a row that names none, or a whole file, stands alone."""
    known: dict[str, int] = {}
    group = np.arange(len(cells))
    for row, cell in enumerate(cells):
        name, number = parted(cell) if isinstance(cell, str) else ("", None)
        if number is not None:
            group[row] = known.setdefault(name, row)
    return group
