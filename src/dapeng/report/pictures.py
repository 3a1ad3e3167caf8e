"""Pictures for a report: decoded and written anew by Pillow, so that nothing of the file but its pixels gets in."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LARGEST_SIDE = 176
SHARP_SIDE = 64
"""Pictures this small are enlarged without smoothing."""
STRIP_SIDE = 56
"""Side of a frame of a video."""
FOR, AGAINST = np.array([11, 95, 127], np.float32), np.array([178, 58, 38], np.float32)
NINTHS = (
    ("at the upper left", "at the top", "at the upper right"),
    ("on the left", "in the middle", "on the right"),
    ("at the lower left", "at the bottom", "at the lower right"),
)


def data_uri(cell: str | bytes, base: Path | None) -> tuple[str, int, int] | None:
    """A data: address of the picture in a cell, its width and height; None where it can't be read."""
    from dapeng.columns.pictures import Unreadable, open_picture, pixels_of

    try:
        picture = pixels_of(open_picture(cell, base), 3)
    except Unreadable:
        return None
    return _written(picture), *picture.size


def strip_uri(cell: str | bytes, base: Path | None, count: int = 8) -> tuple[str, int, int] | None:
    """A data: address of some frames of the video in a cell, side by side, its width and height; None where it can't be read."""
    from PIL import Image

    from dapeng.columns.cells import located
    from dapeng.columns.video import Video

    reader = Video(frames=count, clips=1).reader(3, STRIP_SIDE, STRIP_SIDE)
    try:
        frames = reader.sampled(located(cell, base))
    except ValueError:
        return None
    strip = Image.fromarray(np.concatenate(list(frames.transpose(0, 2, 3, 1)), 1))
    return _written(strip, strip.width), *strip.size


def scaled_uri(cell: str | bytes, base: Path | None, side: int) -> tuple[str, int, int] | None:
    """A data: address of the picture with its longer side at most so long, and its width and height as it came."""
    from dapeng.columns.pictures import Unreadable, open_picture, pixels_of

    try:
        picture = pixels_of(open_picture(cell, base), 3)
    except Unreadable:
        return None
    size = picture.size
    return _written(picture, side), *size


def overlaid(
    cell: str | bytes, base: Path | None, layers: list[np.ndarray], affine: np.ndarray, side: int
) -> list[str] | None:
    """data: addresses of a picture under each of some layers (Y, X, 4), which lie in the picture as it was read, by its affine."""
    from PIL import Image

    from dapeng.columns.pictures import Unreadable, open_picture, pixels_of

    try:
        picture = pixels_of(open_picture(cell, base), 3)
    except Unreadable:
        return None
    size = layers[0].shape[1], layers[0].shape[0]
    back = (1 / affine[0, 0], 0, -affine[0, 2] / affine[0, 0], 0, 1 / affine[1, 1], -affine[1, 2] / affine[1, 1])
    seen = picture.transform(size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR).convert("RGBA")
    return [_written(Image.alpha_composite(seen, Image.fromarray(layer)).convert("RGB"), side) for layer in layers]


def overlaid_slice(
    cell: str | bytes, base: Path | None, layers: list[np.ndarray], at: float, side: int
) -> list[str] | None:
    """data: addresses of a slice of a volume under each of some layers (Y, X, 4). at: how far up it is, from 0 to 1."""
    from PIL import Image

    from dapeng.columns.medical import Refused
    from dapeng.columns.volumes import volume_of

    try:
        grey = volume_of(cell, base).grey
    except Refused:
        return None
    size = layers[0].shape[1], layers[0].shape[0]
    seen = Image.fromarray(grey[int(at * len(grey))]).resize(size, Image.Resampling.BILINEAR).convert("RGBA")
    return [_written(Image.alpha_composite(seen, Image.fromarray(layer)).convert("RGB"), side) for layer in layers]


def _written(picture: Any, side: int = LARGEST_SIDE) -> str:
    """The data: address; the picture is made smaller where it is large."""
    small = max(picture.size) <= SHARP_SIDE
    picture.thumbnail((side, side))
    out = io.BytesIO()
    picture.save(out, **({"format": "PNG", "optimize": True} if small else {"format": "JPEG", "quality": 80}))
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


@dataclass(frozen=True)
class Heat:
    """A picture beside itself under its heat. plain, uri: data: addresses. said: where the heat is, in words."""

    plain: str
    uri: str
    said: str
    width: int
    height: int

    @property
    def sharp(self) -> bool:
        return max(self.width, self.height) <= SHARP_SIDE


def heat_of(picture: str | None, heat: str | None) -> Heat | None:
    """Of PNG files in base64, as `dapeng explain` leaves them; None where one can't be read."""
    from PIL import Image

    from dapeng.columns.pictures import Unreadable, open_picture, pixels_of

    try:
        shown = pixels_of(open_picture(base64.b64decode(picture or "", validate=True), None, min_side=1), 3)
        warm = open_picture(base64.b64decode(heat or "", validate=True), None, min_side=1).convert("RGBA")
    except (Unreadable, ValueError):
        return None
    rgba = np.asarray(warm.resize(shown.size), np.float32)
    strength = rgba[..., 3:] / 255
    speaks_for = rgba[..., :1] >= rgba[..., 2:3]
    grey = np.asarray(shown.convert("L"), np.float32)[..., None] * 0.6 + 102  # pale, so that the heat stands out
    mixed = grey * (1 - strength) + np.where(speaks_for, FOR, AGAINST) * strength
    under = Image.fromarray(np.round(mixed).astype(np.uint8))
    signed = np.where(speaks_for, strength, -strength)[..., 0]
    return Heat(_written(shown), _written(under), places(signed), *under.size)


def places(values: np.ndarray) -> str:
    """Where a map (Y, X) is most for and most against, for those who don't see it."""
    thirds = [np.array_split(r, 3, 1) for r in np.array_split(values, 3, 0)]
    sums = {name: float(part.sum()) for names, parts in zip(NINTHS, thirds) for name, part in zip(names, parts)}
    most = max(map(abs, sums.values()), default=0.0)
    said = []
    for word, (name, total) in (
        ("for", max(sums.items(), key=lambda i: i[1])),
        ("against", min(sums.items(), key=lambda i: i[1])),
    ):
        if abs(total) > 0.1 * most and (total > 0) == (word == "for"):
            said.append(f"most {word} {name}")
    return ", ".join(said) or "nothing stands out"
