"""The handwritten digits of scikit-learn as PNG files, for sources that hold pictures."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


@cache
def digits(count: int = 1797) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """PNG files of 8 x 8 pixels, and what they show."""
    data = load_digits()
    return tuple(png(p) for p in data.images[:count]), tuple(int(t) for t in data.target[:count])


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
