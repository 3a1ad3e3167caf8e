"""A sample from outside: colours and which of their channels is the strongest."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part


@samples
class Paints(Sample):
    """240 colours, and the name of the strongest channel."""

    type: Literal["paints"] = "paints"
    licence: ClassVar[str] = "public domain"
    source: ClassVar[str] = "made"
    rows: ClassVar[int] = 240
    columns: ClassVar[tuple[str, ...]] = ("paint", "shine", "label")
    target: ClassVar[str] = "label"

    def load(self) -> dict[str, Source]:
        rgb = np.random.default_rng(0).integers(0, 256, (self.rows, 3))
        cells = ["" if i % 30 == 7 else "#{:02x}{:02x}{:02x}".format(*c) for i, c in enumerate(rgb)]
        label = [("red", "green", "blue")[c.argmax()] for c in rgb]
        shine = rgb.sum(1).astype(float)
        return {
            "all": part(
                self.type, "all", {"paint": pa.array(cells), "shine": pa.array(shine), "label": pa.array(label)}
            )
        }
