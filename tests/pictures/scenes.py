"""Small pictures of coloured squares and bars on grey, with their boxes and masks."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

COLOURS = {"square": (220, 40, 40), "bar": (40, 60, 220)}


def encoded(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def scene(draw: np.random.Generator, width: int = 64, height: int = 48) -> tuple[bytes, list[dict[str, Any]], bytes]:
    """A picture, its boxes, and its mask: 0 background, 1 squares, 2 bars."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels += draw.integers(0, 12, pixels.shape, np.uint8)
    mask, boxes = np.zeros((height, width), np.uint8), []
    for number in range(int(draw.integers(1, 4))):
        label = list(COLOURS)[int(draw.integers(2))]
        wide, high = (12, 12) if label == "square" else (18, 8)
        x, y = int(20 * number + draw.integers(0, 2)), int(draw.integers(0, height - high))
        pixels[y : y + high, x : x + wide] = COLOURS[label]
        mask[y : y + high, x : x + wide] = 1 + list(COLOURS).index(label)
        boxes.append({"label": label, "x1": x, "y1": y, "x2": min(x + wide, width), "y2": y + high})
    return encoded(pixels), boxes, encoded(mask)


def scenes(rows: int, seed: int = 0, **size: int) -> pa.Table:
    """photo, things (boxes in JSON), mask."""
    draw = np.random.default_rng(seed)
    each = [scene(draw, **size) for _ in range(rows)]
    return pa.table(
        {
            "photo": pa.array([p for p, _, _ in each], pa.binary()),
            "things": pa.array([json.dumps(b) for _, b, _ in each]),
            "mask": pa.array([m for _, _, m in each], pa.binary()),
        }
    )


def spec_of(outputs: dict[str, Any], epochs: int, augment: Any, path: str, **photo: Any) -> dict[str, Any]:
    """A small network over the pictures."""
    encoder = {"type": "resnet_small", "width": 8, "stages": 4}
    return {
        "data": {"path": path, "split": {"by": "random", "train": 0.6, "validation": 0.2, "test": 0.2}},
        "inputs": {"photo": {"type": "image", "size": [48, 64], "encoder": encoder, "augment": augment, **photo}},
        "outputs": outputs,
        "model": "network",
        "train": {"epochs": epochs, "batch_size": 8, "learning_rate": 5e-3, "threads": 1, "precision": "fp32"},
        "evaluate": {"resamples": 60},
    }
