"""Pictures out of files and bytes: opened within bounds, turned upright, brought to one size and to 1 or 3 channels.

Sizes are checked against the cap in the header, before anything is decoded.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from dapeng.columns.medical import Refused, kind_of, parted, slice_of
from dapeng.columns.segments import drawn, is_segments
from dapeng.core.files import from_text

MAX_PIXELS = 40_000_000
MIN_SIDE = 2
LONGEST_SIDE = 65_536
"""To which a picture may be scaled."""
LINES = 256
"""Lines of a label picture that are turned into numbers at a time."""
LONGEST_NAME = 200
"""Letters of a path that are told."""
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "GIF", "TIFF", "WEBP")
KINDS = {f".{name.lower()}": name for name in FORMATS} | {".jpg": "JPEG", ".tif": "TIFF", ".pgm": "PPM"}
CONVERTED = ("CMYK", "YCbCr", "LAB", "HSV")
"""Colour spaces whose conversion to RGB may shift colours."""
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError, KeyError, TypeError, struct.error)
"""What Pillow raises on files that were cut, or changed."""


class Unreadable(ValueError):
    """A picture that can't be used, with the reason."""


def checked_sides(value: Any) -> Any:
    """The option `size`: one side in pixels, height and width, or auto. Raises ValueError where it is something else."""
    sides = value if isinstance(value, list) else [value]
    if value == "auto" or (len(sides) == (2 if sides is value else 1) and all(1 <= v <= LONGEST_SIDE for v in sides)):
        return value
    raise ValueError(f"expected one side, or height and width, from 1 to {LONGEST_SIDE:,} pixels: 64, or [48, 64]")


def open_picture(cell: str | bytes, base: Path | None, max_pixels: int = MAX_PIXELS, min_side: int = MIN_SIDE) -> Any:
    """A lazily opened Pillow picture of a cell; raises Unreadable with the reason."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    source: Any = cell
    number = None
    if isinstance(cell, str):
        name, number = parted(cell)
        path = Path(name)
        source = from_text(path if path.is_absolute() or base is None else base / path)
        if not os.path.isfile(source):
            raise Unreadable(f"no such file: {cell if len(cell) <= LONGEST_NAME else cell[:LONGEST_NAME] + '...'}")
        if source.stat().st_size == 0:
            raise Unreadable("the file is empty")
        scan = kind_of(source)
    elif not isinstance(cell, bytes):
        raise Unreadable(f"neither a path nor the bytes of a picture, but {type(cell).__name__}")
    elif not cell:
        raise Unreadable("the file is empty")
    else:
        scan = kind_of(None, cell)
        source = cell if scan else io.BytesIO(cell)
    if scan:
        return _scan(scan, source, number, max_pixels, min_side)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            old, Pillow.MAX_IMAGE_PIXELS = Pillow.MAX_IMAGE_PIXELS, None
            try:
                picture = Pillow.open(source, formats=FORMATS)
            finally:
                Pillow.MAX_IMAGE_PIXELS = old
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        why = "" if isinstance(error, UnidentifiedImageError) else f" ({str(error)[:80]})"
        raise Unreadable(f"not a picture that can be read{why}") from None
    width, height = picture.size
    if width * height > max_pixels:
        raise Unreadable(f"{width} x {height} pixels are over the cap of {max_pixels:,} (max_pixels)")
    if min(width, height) < min_side:
        raise Unreadable(f"{width} x {height} pixels are under the smallest side of {min_side} (min_side)")
    return picture


def _scan(kind: str, source: Path | bytes, number: int | None, max_pixels: int, min_side: int) -> Any:
    """A slice of a medical scan as a grey picture; its `values` are kept beside it, for masks."""
    from PIL import Image as Pillow

    try:
        values, grey = slice_of(kind, source, number, max_pixels)
    except Refused as error:
        raise Unreadable(str(error)) from None
    if min(grey.shape) < min_side:
        raise Unreadable(
            f"{grey.shape[1]} x {grey.shape[0]} pixels are under the smallest side of {min_side} (min_side)"
        )
    picture = Pillow.fromarray(grey)
    picture.info["values"] = values
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
    except DAMAGED as error:
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


def fit_nearest(codes: np.ndarray, height: int, width: int, how: str, fill: int) -> np.ndarray:
    """A label picture (Y, X) uint8 as `fit_size` would bring it to size, by the nearest pixel; `fill` where it is padded."""
    if codes.shape == (height, width):
        return codes
    place = placement(codes.shape[1], codes.shape[0], height, width, how).astype(np.float64)
    out = np.full((height, width), fill, codes.dtype)
    across, down = (((np.arange(n) + 0.5 - place[i, 2]) / place[i, i]) for i, n in enumerate((width, height)))
    inside = [(at >= 0) & (at < size) for at, size in ((down, codes.shape[0]), (across, codes.shape[1]))]
    out[np.ix_(*inside)] = codes[np.ix_(down[inside[0]].astype(int), across[inside[1]].astype(int))]
    return out


def labels_in(cell: str | bytes, base: Path | None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """(Y, X) whole values of a label picture: grey values, palette indices, colours as one number, or those of segments; raises Unreadable."""
    from PIL import ImageOps

    if is_segments(cell):
        try:
            return drawn(str(cell), max_pixels)
        except ValueError as error:
            raise Unreadable(str(error)) from None
    picture = open_picture(cell, base, max_pixels, 1)
    if "values" in picture.info:
        return whole(picture.info["values"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture.load()
            if picture.getexif().get(0x0112, 1) != 1:
                picture = ImageOps.exif_transpose(picture)
    except DAMAGED as error:
        raise Unreadable(f"damaged ({str(error)[:80]})") from None
    if picture.mode == "F":
        return whole(np.asarray(picture))
    if picture.mode in ("1", "L", "P", "I") or picture.mode.startswith("I;16"):
        return np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    if picture.mode == "LA":
        return np.asarray(picture)[..., 0]
    return _of_colours(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _of_colours(picture: Any) -> np.ndarray:
    """(Y, X) of a picture in RGB: its grey values, or colours as red * 65536 + green * 256 + blue; lines at a time, since numbers take room."""
    wide, high = picture.size
    out, grey = np.empty((high, wide), np.int32), True
    for top in range(0, high, LINES):
        red, green, blue = np.moveaxis(np.asarray(picture.crop((0, top, wide, min(high, top + LINES)))), -1, 0)
        grey = grey and bool((red == green).all() and (green == blue).all())
        out[top : top + LINES] = red.astype(np.int32) * 65536 + green.astype(np.int32) * 256 + blue
    return (out & 255).astype(np.uint8) if grey else out


def counted(values: np.ndarray) -> dict[int, int]:
    """How many pixels of a label picture have each value; of lines at a time, since sorting takes room."""
    out: Counter[int] = Counter()
    for top in range(0, len(values), LINES):
        found, counts = np.unique(values[top : top + LINES], return_counts=True)
        out.update(dict(zip(found.tolist(), counts.tolist())))
    return dict(sorted(out.items()))


def whole(values: np.ndarray) -> np.ndarray:
    """Float values as int32 labels."""
    if not (np.abs(values) < 2**31 - 1).all():
        raise Unreadable("it holds values that are no labels")
    return values.round().astype(np.int32)


def placement(width: int, height: int, to_height: int, to_width: int, how: str) -> np.ndarray:
    """(2, 3) float32: from pixels (x, y) of a picture of this size to those that `fit_size` makes of it."""
    if how == "crop":
        scale = max(to_width / width, to_height / height)
        across, down = scale, scale
    elif how == "pad":  # Pillow rounds the side that doesn't fill
        fit = (to_width, round(height / width * to_width))
        if width * to_height < height * to_width:
            fit = (round(width / height * to_height), to_height)
        across, down = fit[0] / width, fit[1] / height
    else:
        return np.array([[to_width / width, 0, 0], [0, to_height / height, 0]], np.float32)
    left, top = (to_width - across * width) / 2, (to_height - down * height) / 2
    if how == "pad":
        left, top = round(left), round(top)
    return np.array([[across, 0, left], [0, down, top]], np.float32)


def is_grey(picture: Any) -> bool:
    return picture.mode in ("1", "L", "LA", "I", "F") or picture.mode.startswith("I;16")


def png_of(pixels: np.ndarray) -> bytes:
    """A PNG of (C, Y, X) uint8, grey or colour."""
    from PIL import Image as Pillow

    out = io.BytesIO()
    Pillow.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(out, "PNG")
    return out.getvalue()


def grid_of(pictures: np.ndarray, across: int) -> np.ndarray:
    """Pictures (N, C, Y, X) uint8 side by side, so many in a line -> (C, Y', X') uint8, with lines of grey between them."""
    count, channels, height, width = pictures.shape
    lines = -(-count // across)
    out = np.full((channels, lines * (height + 1) + 1, across * (width + 1) + 1), 128, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // across * (height + 1) + 1, i % across * (width + 1) + 1
        out[:, top : top + height, left : left + width] = picture
    return out
