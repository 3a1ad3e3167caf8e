"""A random part of a volume: what a network for large volumes learns from, where the whole would be too much at a time."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform


@transforms
class CropVolume(TransformOptions):
    """Cut a part of a fixed size out of a volume, anywhere. What lies in it is cut likewise; answers are for whole volumes.

    Example: `inputs: {scan: {type: volume, augment: [{type: crop_volume, size: [16, 96, 96]}], window: [16, 96, 96]}}`
    """

    type: Literal["crop_volume"] = "crop_volume"
    fits: ClassVar[tuple[str, ...]] = ("volume",)
    carries: ClassVar[bool] = True
    size: Annotated[list[int], Field(min_length=3, max_length=3)] | Literal["auto"] = "auto"
    """Slices, lines and columns of a part; at most those of the volume. auto: half of each."""

    def build(self, column: Any) -> CropVolumes:
        return CropVolumes(None if isinstance(self.size, str) else self.size)


class CropVolumes:
    """pixels (B, C, Z, Y, X) -> (B, C, *size), each from its own place; None: half of each axis."""

    def __init__(self, size: list[int] | None):
        self.size = size

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"]
        whole = x.shape[2:]
        size = [max(1, n // 2) for n in whole] if self.size is None else [min(s, n) for s, n in zip(self.size, whole)]
        u = uniform(batch.rows.numpy(), 3, *draw)
        start = np.stack([(u[:, i] * (n - s + 1)).astype(np.int64) for i, (n, s) in enumerate(zip(whole, size))], 1)
        parts = [p[:, z : z + size[0], y : y + size[1], a : a + size[2]] for p, (z, y, a) in zip(x, start.tolist())]
        changed = {**cells.tensors, "pixels": torch.stack(parts)}
        if "affine" in cells:
            there = cells["affine"].clone()
            there[:, :3, 3] -= torch.from_numpy(start[:, ::-1].copy()).float()
            changed["affine"] = there
        return batch.replace({name: Cells(changed, cells.present)})
