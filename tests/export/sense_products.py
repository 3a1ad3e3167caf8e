"""Products whose outputs are pictures, boxes, masks, volumes, sounds, anomalies or pairs: tiny networks that have learnt nothing."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from dapeng.api.columns import Chosen, settle
from dapeng.core.loader import load_spec
from dapeng.data.prepare import fit_columns
from dapeng.data.table import Frame
from dapeng.models.build import Choices, build_model, with_encoders
from dapeng.product.product import NETWORK, Product

ROWS = 12
PHOTO = {"type": "image", "size": [32, 32], "encoder": {"type": "resnet_small", "width": 4, "stages": 3}}
TWICE = {**PHOTO, "encoder": {"type": "scales", "network": PHOTO["encoder"]}}
KIND = {"type": "category"}
TEXT = {
    "type": "text",
    "tokeniser": "characters",
    "encoder": {"type": "transformer", "embed_dim": 16, "num_layers": 1, "num_heads": 2},
}
FLOW = {"steps": 2, "denoiser": {"type": "unet", "width": 8, "blocks": 1, "heads": 0}}
SPEECH = {"type": "speech", "embed_dim": 16, "dilations": [1, 2], "bands": 16, "dropout": 0.0}
WAVENET = {"type": "wavenet", "channels": 8, "skip": 8, "cycles": 1, "depth": 2}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "flow": ({"kind": KIND}, {"photo": {"type": "image", "decoder": {"type": "flow", **FLOW}}}),
    "diffusion": ({"kind": KIND}, {"photo": {"type": "image", "decoder": {"type": "diffusion", **FLOW}}}),
    "dcgan": ({"kind": KIND}, {"photo": {"type": "image", "decoder": {"type": "dcgan", "width": 8, "noise": 8}}}),
    "r3gan": (
        {"kind": KIND},
        {"photo": {"type": "image", "decoder": {"type": "r3gan", "width": 8, "noise": 8, "blocks": 1}}},
    ),
    "boxes": ({"photo": PHOTO}, {"things": {"type": "boxes"}}),
    "letterboxed boxes": ({"photo": {**PHOTO, "resize": "pad", "size": [32, 48]}}, {"things": {"type": "boxes"}}),
    "mask": ({"photo": PHOTO}, {"mask": {"type": "mask"}}),
    "mask by windows": ({"photo": {**PHOTO, "window": 16}}, {"mask": {"type": "mask"}}),
    "volume_mask": (
        {"scan": {"type": "volume", "encoder": {"type": "volume_cnn", "width": 4, "stages": 2}}},
        {"labels": {"type": "volume_mask"}},
    ),
    "patch_memory": ({"photo": PHOTO}, {"fault": {"type": "anomaly", "decoder": {"type": "patch_memory", "size": 16}}}),
    "autoencoder": ({"photo": PHOTO}, {"fault": {"type": "anomaly", "decoder": "autoencoder"}}),
    "speech": ({"text": TEXT}, {"clip": {"type": "audio", "decoder": SPEECH}}),
    "wavenet": ({"kind": KIND}, {"clip": {"type": "audio", "decoder": WAVENET}}),
    "match": ({"photo": PHOTO, "text": TEXT}, {"pair": {"type": "match", "embed_dim": 8}}),
    "video": (
        {"video": {"type": "video", "frames": 4, "encoder": {"type": "r2plus1d", "width": 8, "stages": 2}}},
        {"kind": KIND},
    ),
    "views": ({"photo": {**PHOTO, "views": "moved"}}, {"kind": KIND}),
    "mask of two sizes": ({"photo": TWICE}, {"mask": {"type": "mask"}}),
    "kind of two sizes": ({"photo": TWICE}, {"kind": KIND}),
    "conformer": (
        {"clip": {"type": "audio", "encoder": {"type": "conformer", "embed_dim": 16, "num_layers": 1, "num_heads": 2}}},
        {"kind": KIND},
    ),
}


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def tone(number: int) -> bytes:
    samples = 8000 * np.sin(np.arange(400 + 20 * number) * (0.1 + 0.05 * number))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(4000)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


def moving(number: int) -> bytes:
    frames = [Image.fromarray(np.roll(np.eye(16, dtype=np.uint8) * 200, number * t, 1)) for t in range(6)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


def pages(number: int) -> bytes:
    volume = np.zeros((4, 8, 8), np.uint8)
    volume[1:3, 2:6, number % 4 : number % 4 + 3] = 1
    out = io.BytesIO()
    first, *rest = (Image.fromarray(p) for p in volume)
    first.save(out, "TIFF", save_all=True, append_images=rest)
    return out.getvalue()


def photo(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 60, (24, 32, 3), np.uint8)
    pixels[4:14, number : number + 10] = (200, 40, 40)
    return png(pixels)


def label_picture(number: int) -> bytes:
    labels = np.zeros((24, 32), np.uint8)
    labels[4:14, number : number + 10] = 1
    return png(labels)


CELLS: dict[str, Callable[[int], Any]] = {
    "kind": lambda i: "ab"[i % 2],
    "text": lambda i: "a bc" * (1 + i % 3),
    "photo": photo,
    "things": lambda i: json.dumps([{"label": "a", "x1": i, "y1": 4, "x2": i + 10, "y2": 14}]),
    "mask": label_picture,
    "fault": lambda i: "good",
    "clip": tone,
    "video": moving,
    "scan": pages,
    "labels": pages,
    "pair": lambda i: f"pair {i}",
}


def frame(names: list[str]) -> Frame:
    return Frame(pa.table({n: [CELLS[n](i) for i in range(ROWS)] for n in names}))


def product(name: str) -> tuple[Product, Frame]:
    """A product, and rows that it can read."""
    asked, wanted = CASES[name]
    spec = load_spec({"data": "none.csv", "inputs": asked, "outputs": wanted}).spec
    chosen = Chosen(dict(spec.inputs), dict(spec.outputs))
    settle(chosen, None)
    rows = frame([*asked, *wanted])
    sides = {n: (o, False) for n, o in chosen.inputs.items()} | {n: (o, True) for n, o in chosen.outputs.items()}
    columns = fit_columns(rows, sides, lambda start, count: np.ones(count, bool))
    inputs = with_encoders({n: columns[n] for n in asked}, ROWS, Choices())
    outputs = {n: columns[n] for n in wanted}
    torch.manual_seed(0)
    model = build_model(spec, inputs, outputs, Choices()).eval()
    if "things" in outputs:  # what has learnt nothing finds all places alike, and rounding would decide which stay
        with torch.no_grad():
            for weight in (p for p in model.decoders["things"].parameters() if p.dim() > 1):
                weight.mul_(2)
    return Product(inputs, outputs, model, {n: {} for n in outputs}, {n: {NETWORK: 1.0} for n in outputs}), rows
