"""Pictures whose files are the same, byte by byte: once in train and once in test, though their names differ."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Check, Finding, Seen, first
from dapeng.core.kinds import checks

SECONDS = 30.0
"""Most time to read files in."""


@checks
class SamePictures(Check):
    """Equal pictures by a hash of their bytes: across the split, and elsewhere."""

    type: Literal["same_pictures"] = "same_pictures"
    order: ClassVar[int] = 70

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("image",), targets=False):
            group, read = _groups(column.cells.to_pylist(), seen.whole.base)
            if read < len(group):
                seen.notes.append(
                    f"{column.name}: {read:,} of {len(group):,} pictures were compared within {SECONDS:.0f} seconds"
                )
            counts = np.bincount(group)
            first_of = np.full(len(counts), len(group))
            np.minimum.at(first_of, group, np.arange(len(group)))
            extra = int((counts[counts > 1] - 1).sum())
            if extra:
                rows = np.flatnonzero((counts[group] > 1) & (first_of[group] != np.arange(len(group))))
                shown = tuple(f"as {seen.whole.where(int(seen.places[first_of[group[r]]]))}" for r in first(rows))
                text = f"{column.name}: {extra:,} pictures are the same, byte by byte, as an earlier one"
                yield Finding("same_pictures", (column.name,), first(rows), text, "info", shown)
            for what, rows, share in seen.across(group):
                text = f"{column.name}: {len(rows):,} {what} ({share:.1%}) have the very picture of a row of {seen.elsewhere}: the score will flatter"
                yield Finding("same_pictures", (column.name,), first(rows), text)


def _groups(cells: list[object], base: Path | None) -> tuple[np.ndarray, int]:
    """(rows,) the code of each picture's content, and how many were read; one that wasn't, or can't be, stands alone."""
    known: dict[bytes, int] = {}
    group = np.arange(len(cells))
    began = time.monotonic()
    for row, cell in enumerate(cells):
        if time.monotonic() - began > SECONDS:
            return group, row
        content = _content(cell, base)
        if content:
            group[row] = known.setdefault(hashlib.blake2b(content, digest_size=16).digest(), row)
    return group, len(cells)


def _content(cell: object, base: Path | None) -> bytes:
    if isinstance(cell, bytes):
        return cell
    if not isinstance(cell, str) or not cell:
        return b""
    try:
        return ((base or Path()) / cell).read_bytes()
    except (OSError, ValueError):
        return cell.encode()  # a picture written out as text, or a file that isn't there, which `unreadable` says
