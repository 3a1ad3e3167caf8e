"""Pictures that can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.checks.base import Check, Finding, Seen
from dapeng.core.kinds import checks

PICTURES = 200


@checks
class Unreadable(Check):
    """Unreadable pictures, among some spread over the rows: the header is read, not the pixels."""

    type: Literal["unreadable"] = "unreadable"
    order: ClassVar[int] = 50

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("image",)):
            cells = column.cells
            rows = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), PICTURES)).astype(np.int64))
            values = zip(rows, cells.take(pa.array(rows)).to_pylist())
            bad = [(int(r), why) for r, v in values if v and (why := _unreadable(v, seen.whole.base))]
            if bad:
                text = f"{column.name}: {len(bad)} of {len(rows)} pictures looked at can't be read"
                some = tuple(r for r, _ in bad[:5])
                yield Finding("unreadable", (column.name,), some, text, examples=tuple(why for _, why in bad[:5]))


def _unreadable(value: object, base: Path | None) -> str:
    """Why a picture can't be read; nothing where it can."""
    import io
    import warnings

    from PIL import Image

    if not isinstance(value, (str, bytes)):
        return f"{type(value).__name__} is no picture"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO(value) if isinstance(value, bytes) else (base or Path()) / value
            with Image.open(file) as picture:
                picture.verify()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error).split(" <_io")[0][:100] or type(error).__name__
    return ""
