"""Pictures for a report: decoded and written anew by Pillow, so that nothing of the file but its pixels gets in."""

from __future__ import annotations

import base64
import io
from pathlib import Path

LARGEST_SIDE = 176
SHARP_SIDE = 64
"""Pictures this small are enlarged without smoothing."""


def data_uri(cell: str | bytes, base: Path | None) -> tuple[str, int, int] | None:
    """A data: address of the picture in a cell, its width and height; None where it can't be read."""
    from dapeng.columns.image import Unreadable, open_picture, pixels_of

    try:
        picture = pixels_of(open_picture(cell, base), 3)
    except Unreadable:
        return None
    small = max(picture.size) <= SHARP_SIDE
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    out = io.BytesIO()
    picture.save(out, **({"format": "PNG", "optimize": True} if small else {"format": "JPEG", "quality": 80}))
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}", *picture.size
