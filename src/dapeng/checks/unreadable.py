"""Pictures and label pictures that can't be read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.checks.base import Check, Finding, Seen
from dapeng.columns import pictures
from dapeng.columns.cells import raw_cells
from dapeng.core.kinds import checks

PICTURES = 200


@checks
class Unreadable(Check):
    """Unreadable pictures, among some spread over the rows: the header is read, not the pixels."""

    type: Literal["unreadable"] = "unreadable"
    order: ClassVar[int] = 50

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("image", "mask")):
            rows = np.unique(np.linspace(0, len(column.cells) - 1, min(len(column.cells), PICTURES)).astype(np.int64))
            values = zip(rows, raw_cells(column.cells.take(pa.array(rows))))
            most = getattr(column.options, "max_pixels", pictures.MAX_PIXELS)
            bad = [(int(r), why) for r, v in values if v is not None and (why := _unreadable(v, seen.whole.base, most))]
            if bad:
                text = f"{column.name}: {len(bad)} of {len(rows)} pictures looked at can't be read"
                some = tuple(r for r, _ in bad[:5])
                yield Finding("unreadable", (column.name,), some, text, examples=tuple(why for _, why in bad[:5]))


def _unreadable(value: object, base: Path | None, most: int) -> str:
    """Why a picture can't be read; nothing where it can."""
    try:
        picture = pictures.open_picture(value, base, most, 1)  # type: ignore[arg-type]
        if "values" not in picture.info:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                picture.verify()
    except (pictures.Unreadable, *pictures.DAMAGED) as error:
        return str(error).split(" <_io")[0][:100] or type(error).__name__
    return ""
