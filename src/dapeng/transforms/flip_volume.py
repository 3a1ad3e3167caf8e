"""Volumes mirrored, left to right or along another axis."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform

AXES = {"x": 0, "y": 1, "z": 2}


@transforms
class FlipVolume(TransformOptions):
    """Mirror a volume along x (left to right), y or z, with some probability. What lies in it is mirrored likewise.

    Example: `inputs: {scan: {type: volume, augment: [{type: flip_volume, axis: z}]}}`
    """

    type: Literal["flip_volume"] = "flip_volume"
    fits: ClassVar[tuple[str, ...]] = ("volume",)
    carries: ClassVar[bool] = True
    probability: float = Field(0.5, ge=0, le=1)
    axis: Literal["x", "y", "z"] = "x"

    def build(self, column: Any) -> FlipVolumes:
        return FlipVolumes(self.probability, AXES[self.axis])


class FlipVolumes:
    """pixels (B, C, Z, Y, X) -> the same, some mirrored along x (0), y (1) or z (2)."""

    def __init__(self, probability: float, axis: int):
        self.probability, self.axis = probability, axis

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"]
        chosen = torch.from_numpy(uniform(batch.rows.numpy(), 1, *draw)[:, 0] < self.probability)
        mirrored = torch.where(chosen[:, None, None, None, None], x.flip(4 - self.axis), x)
        changed = {**cells.tensors, "pixels": mirrored}
        if "affine" in cells:
            there = cells["affine"].clone()
            there[:, self.axis] *= 1 - 2 * chosen.float()[:, None]
            there[:, self.axis, 3] += chosen * float(x.shape[4 - self.axis])
            changed["affine"] = there
        return batch.replace({name: Cells(changed, cells.present)})
