"""Pictures and heat maps, small enough to lie in JSON: 8 bits, PNG, base64."""

from __future__ import annotations

import base64
import io

import numpy as np

LARGEST = 128


def picture(pixels: np.ndarray) -> str:
    """(C, Y, X) uint8 as a PNG in base64."""
    return _png(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def heat(values: np.ndarray) -> str:
    """(Y, X) as a PNG with transparency: red speaks for the answer, blue against it."""
    scale = np.abs(values).max() or 1.0
    strength = np.round(np.abs(values) / scale * 255).astype(np.uint8)
    rgba = np.zeros((*values.shape, 4), np.uint8)
    rgba[..., 0] = np.where(values > 0, 214, 33)
    rgba[..., 1] = np.where(values > 0, 40, 102)
    rgba[..., 2] = np.where(values > 0, 40, 172)
    rgba[..., 3] = strength
    return _png(rgba)


def agreement(first: np.ndarray, second: np.ndarray, grid: int = 8) -> float:
    """The correlation of two maps, coarse: 1 where they agree."""
    a, b = (_coarse(m, grid).ravel() for m in (first, second))
    if a.std() < 1e-12 or b.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _coarse(values: np.ndarray, grid: int) -> np.ndarray:
    rows = np.array_split(values, min(grid, values.shape[0]), 0)
    return np.array([[part.sum() for part in np.array_split(r, min(grid, values.shape[1]), 1)] for r in rows])


def _png(array: np.ndarray) -> str:
    from PIL import Image

    shown = Image.fromarray(array)
    if max(shown.size) > LARGEST:
        shown.thumbnail((LARGEST, LARGEST))
    out = io.BytesIO()
    shown.save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()
