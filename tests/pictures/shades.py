"""Small bright and dark pictures, for what draws."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

KINDS = ("dark", "bright")


def shades(count: int = 160) -> list[tuple[str, bytes]]:
    """Kinds in turn, and a picture of 8 x 8 pixels of each as a file in memory."""
    draw = np.random.default_rng(0)
    out = []
    for i in range(count):
        kind = KINDS[i % 2]
        pixels = draw.integers(0, 60, (8, 8)) + (150 if kind == "bright" else 20)
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        out.append((kind, file.getvalue()))
    return out
