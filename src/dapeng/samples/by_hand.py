"""One row to compute by hand: x = (1, 2, 3), y = (4, 5, 6)."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part


@samples
class ByHand(Sample):
    """One row of three numbers and three numbers to predict, for following a training step number by number."""

    type: Literal["by_hand"] = "by_hand"
    licence: ClassVar = "public domain"
    source: ClassVar = "made: a single row"
    rows: ClassVar = 1
    columns: ClassVar = ("x1", "x2", "x3", "y1", "y2", "y3")
    target: ClassVar = "y1"

    def load(self) -> dict[str, Source]:
        cells = {name: pa.array([float(i + 1)]) for i, name in enumerate(self.columns)}
        return {"all": part(self.type, "all", cells)}
