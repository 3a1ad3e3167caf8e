"""Pictures out of files and bytes: opened within bounds, turned upright, brought to one size and to 1 or 3 channels.

Sizes are checked against the cap in the header, before anything is decoded.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dapeng.core.files import from_text

MAX_PIXELS = 40_000_000
MIN_SIDE = 2
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "GIF", "TIFF", "WEBP")
KINDS = {f".{name.lower()}": name for name in FORMATS} | {".jpg": "JPEG", ".tif": "TIFF", ".pgm": "PPM"}
CONVERTED = ("CMYK", "YCbCr", "LAB", "HSV")
"""Colour spaces whose conversion to RGB may shift colours."""


class Unreadable(ValueError):
    """A picture that can't be used, with the reason."""


def open_picture(cell: str | bytes, base: Path | None, max_pixels: int = MAX_PIXELS, min_side: int = MIN_SIDE) -> Any:
    """A lazily opened Pillow picture of a cell; raises Unreadable with the reason."""
    from PIL import Image as Pillow

    source: Any = cell
    if isinstance(cell, str):
        path = Path(cell)
        source = from_text(path if path.is_absolute() or base is None else base / path)
        if not source.is_file():
            raise Unreadable(f"no such file: {cell}")
        if source.stat().st_size == 0:
            raise Unreadable("the file is empty")
    else:
        source = io.BytesIO(cell)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            old, Pillow.MAX_IMAGE_PIXELS = Pillow.MAX_IMAGE_PIXELS, None
            try:
                picture = Pillow.open(source, formats=FORMATS)
            finally:
                Pillow.MAX_IMAGE_PIXELS = old
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        raise Unreadable(f"not a picture that can be read ({type(error).__name__})") from None
    width, height = picture.size
    if width * height > max_pixels:
        raise Unreadable(f"{width} x {height} pixels are over the cap of {max_pixels:,} (max_pixels)")
    if min(width, height) < min_side:
        raise Unreadable(f"{width} x {height} pixels are under the smallest side of {min_side} (min_side)")
    return picture


def pixels_of(picture: Any, channels: int) -> Any:
    """A decoded, upright Pillow picture in mode L or RGB; 16 bits are scaled, not cut."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture.load()
            if picture.getexif().get(0x0112, 1) != 1:
                picture = ImageOps.exif_transpose(picture)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError) as error:
        raise Unreadable(f"damaged ({str(error)[:80]})") from None
    if picture.mode.startswith("I") or picture.mode == "F":
        wide = np.asarray(picture, np.float64)
        deep = picture.mode.startswith("I;16") or wide.max(initial=0) > 255
        wide = wide / 257 if deep else wide
        picture = Pillow.fromarray(np.clip(np.round(wide), 0, 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        white = Pillow.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Pillow.alpha_composite(white, picture.convert("RGBA"))
    mode = "L" if channels == 1 else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def fit_size(picture: Any, height: int, width: int, how: str) -> Any:
    """The picture at (height, width): stretched, cropped at the centre, or padded with black."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    if picture.size == (width, height):
        return picture
    if how == "crop":
        return ImageOps.fit(picture, (width, height), Pillow.Resampling.BILINEAR)
    if how == "pad":
        return ImageOps.pad(picture, (width, height), Pillow.Resampling.BILINEAR)
    return picture.resize((width, height), Pillow.Resampling.BILINEAR, reducing_gap=3.0)


def is_grey(picture: Any) -> bool:
    return picture.mode in ("1", "L", "LA", "I", "F") or picture.mode.startswith("I;16")
