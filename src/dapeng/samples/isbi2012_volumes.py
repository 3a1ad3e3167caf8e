"""The stack of the ISBI 2012 challenge as small volumes: blocks of five slices, cut into sixteen parts, at half the resolution."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.columns.volumes import Space, nifti_of
from dapeng.core.kinds import samples
from dapeng.data.table import Frame, Source
from dapeng.samples.base import part
from dapeng.samples.isbi2012 import Isbi2012

SLICES, SIDE, FINER = 5, 64, 2
MILLIMETRES = np.diag([8e-6, -8e-6, 50e-6, 1.0])
"""From one voxel to the next: 8, 8 and 50 nm."""


@samples
class Isbi2012Volumes(Isbi2012):
    """96 NIfTI volumes of 5 x 64 x 64 voxels (50 x 8 x 8 nm each), with label volumes: 0 is membrane, 255 the inside of cells. The last
    five slices of the stack test, the five before them validate.
    """

    type: Literal["isbi2012_volumes"] = "isbi2012_volumes"  # type: ignore[assignment]
    rows: ClassVar = 96
    columns: ClassVar = ("scan", "membranes", "block")

    def load(self) -> dict[str, Source]:
        stack = {name: source.read() for name, source in super().load().items()}
        table = pa.concat_tables([stack["train"], stack["test"]])
        last = table.num_rows // SLICES - 1
        sides = {"train": range(last - 1), "validation": [last - 1], "test": [last]}
        return {name: self._part(name, table, blocks) for name, blocks in sides.items()}

    def _part(self, name: str, table: pa.Table, blocks: range | list[int]) -> Frame:
        rows = [(*volumes, str(b)) for b in blocks for volumes in parts_of(table.slice(SLICES * b, SLICES))]
        types = (pa.binary(), pa.binary(), pa.string())
        columns = {c: pa.array([r[i] for r in rows], types[i]) for i, c in enumerate(self.columns)}
        return part(self.type, name, columns)


def parts_of(slices: pa.Table) -> Iterator[tuple[bytes, bytes]]:
    """The parts of a block, line by line: grey values (means of 2 x 2 pixels), and labels (what most of these pixels show)."""
    grey, inside = (_stack(slices.column(c).to_pylist()) for c in ("slice", "membranes"))
    labels = np.where(inside >= 127.5, 255, 0)
    for y in range(0, grey.shape[1], SIDE):
        for x in range(0, grey.shape[2], SIDE):
            yield tuple(_volume(v[:, y : y + SIDE, x : x + SIDE]) for v in (grey.round(), labels))  # type: ignore[misc]


def _stack(files: list[bytes]) -> np.ndarray:
    """(Z, Y, X) float64, each pixel the mean of as many as are made one."""
    from PIL import Image

    values = np.stack([np.asarray(Image.open(io.BytesIO(f)).convert("L"), np.float64) for f in files])
    z, y, x = values.shape
    return values.reshape(z, y // FINER, FINER, x // FINER, FINER).mean((2, 4))


def _volume(values: np.ndarray) -> bytes:
    space = Space(MILLIMETRES, values.shape[::-1])
    return nifti_of(space.store(values.astype(np.int64)), MILLIMETRES)
