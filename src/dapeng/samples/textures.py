"""Pictures of good and faulty surfaces, made by a stated procedure, with masks of what is wrong.

Three surfaces: brushed metal (noise drawn out along one direction), cloth (two crossing waves, each thread a little off), leather (round
noise of two sizes). Each picture has its own turn, brightness, contrast and light from one side. Faults: a scratch (a thin, bent,
lighter or darker line) or a dent (a round place that is lit on one side and dark on the other, as by the light).
After MVTec AD (Bergmann et al., 2019), which can't be shipped.
"""

from __future__ import annotations

import io
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part

SIDE = 96
SURFACES = ("metal", "cloth", "leather")


@samples
class Textures(Sample):
    """810 made pictures of metal, cloth and leather, 96 x 96 pixels: 450 good ones train, 60 good ones validate, and of 300 that test 150 have a
    scratch or a dent, with masks.
    """

    type: Literal["textures"] = "textures"
    licence: ClassVar = "made by this package"
    source: ClassVar = "Made, after Bergmann et al., MVTec AD, 2019"
    rows: ClassVar = 810
    columns: ClassVar = ("part", "fault", "mask", "surface")
    target: ClassVar = "mask"
    counts: ClassVar[dict[str, tuple[int, int]]] = {"train": (450, 0), "validation": (60, 0), "test": (150, 150)}
    """Good and faulty ones."""

    def load(self) -> dict[str, Source]:
        out: dict[str, Source] = {}
        for number, (name, (good, faulty)) in enumerate(self.counts.items()):
            draw = np.random.Generator(np.random.Philox([47, number]))
            out[name] = part(self.type, name, made(good, faulty, draw))
        return out


def made(good: int, faulty: int, draw: np.random.Generator) -> dict[str, pa.Array]:
    """So many good and faulty rows, mixed; surfaces and faults in turn."""
    kinds = ["good"] * good + [("scratch", "dent")[i % 2] for i in range(faulty)]
    surfaces = [SURFACES[i // 2 % len(SURFACES)] for i in range(len(kinds))]
    rows: list[tuple[bytes, str, bytes, str]] = []
    for kind, surface in zip(kinds, surfaces):
        texture, mask = picture_of(surface, kind, draw)
        rows.append((_png(texture), kind, _png(mask), surface))
    rows = [rows[i] for i in draw.permutation(len(rows))]
    types = (pa.binary(), pa.string(), pa.binary(), pa.string())
    return {n: pa.array([r[i] for r in rows], types[i]) for i, n in enumerate(Textures.columns)}


def picture_of(surface: str, kind: str, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture (SIDE, SIDE) uint8 and its mask, 255 where something is wrong."""
    texture = {"metal": _metal, "cloth": _cloth, "leather": _leather}[surface](draw)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    side = draw.uniform(0, 2 * np.pi)
    light = draw.uniform(-0.3, 0.3) * (x * np.cos(side) + y * np.sin(side))
    picture = draw.uniform(0.42, 0.58) + draw.uniform(0.09, 0.12) * texture + light
    mask = np.zeros((SIDE, SIDE), bool)
    if kind == "scratch":
        picture, mask = _scratched(picture, draw)
    elif kind == "dent":
        picture, mask = _dented(picture, draw)
    picture = picture + draw.normal(0, 0.01, picture.shape)
    return np.clip(255 * picture, 0, 255).astype(np.uint8), mask.astype(np.uint8) * 255


def _even(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / max(float(x.std()), 1e-9)


def _metal(draw: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    wide = ndimage.gaussian_filter(draw.normal(size=(2 * SIDE, 2 * SIDE)), (0.8, 14))
    turned = ndimage.rotate(wide, draw.uniform(-8, 8), reshape=False, order=1)
    return _even(turned[SIDE // 2 : SIDE // 2 + SIDE, SIDE // 2 : SIDE // 2 + SIDE])


def _cloth(draw: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    turn = np.deg2rad(draw.uniform(-8, 8))
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    across, down = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    off = [ndimage.gaussian_filter(draw.normal(size=(SIDE, SIDE)), 6) * 6 for _ in range(2)]
    first, second = (np.sin(2 * np.pi * (a + o) / 6 + draw.uniform(0, 6)) for a, o in zip((across, down), off))
    return _even(first + second + 0.4 * draw.normal(size=(SIDE, SIDE)))


def _leather(draw: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    fine, coarse = (_even(ndimage.gaussian_filter(draw.normal(size=(SIDE, SIDE)), s)) for s in (1.2, 3.5))
    return _even(fine + 0.7 * np.abs(coarse))


def _scratched(picture: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A line of 20 to 60 pixels, at most 3 wide, that bends."""
    turn, bend = draw.uniform(0, 2 * np.pi), draw.uniform(-0.03, 0.03)
    at, length = draw.uniform(0.2 * SIDE, 0.8 * SIDE, 2), int(draw.integers(20, 61))
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.full((SIDE, SIDE), np.inf)
    for _ in range(2 * length):
        away = np.minimum(away, (x - at[0]) ** 2 + (y - at[1]) ** 2)
        at = at + 0.5 * np.array([np.cos(turn), np.sin(turn)])
        turn += 0.5 * bend
    width = draw.uniform(0.6, 1.2)
    depth = draw.uniform(0.22, 0.4) * draw.choice([-1, 1])
    strength = np.exp(-away / (2 * width**2))
    return picture + depth * strength, strength > 0.3


def _dented(picture: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A round place of 5 to 11 pixels' radius, one side of it lit, the other dark."""
    centre, radii, side = draw.uniform(0.15 * SIDE, 0.85 * SIDE, 2), draw.uniform(5, 11, 2), draw.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIDE, :SIDE]
    across, down = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    inside = np.exp(-((across**2 + down**2) ** 2))
    slope = draw.uniform(0.4, 0.6) * (across * np.cos(side) + down * np.sin(side)) * inside
    return picture + slope, across**2 + down**2 < 1


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
