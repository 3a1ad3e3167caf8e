"""Pictures mirrored left to right."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform


@transforms
class Flip(TransformOptions):
    """Mirror a picture, left to right (or top to bottom), with some probability.

    Example: `inputs: {photo: {type: image, augment: [flip]}}`
    """

    type: Literal["flip"] = "flip"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    probability: float = Field(0.5, ge=0, le=1)
    vertical: bool = False
    """Top to bottom instead."""

    def build(self, column: Any) -> FlipPictures:
        return FlipPictures(self.probability, self.vertical)


class FlipPictures:
    """pixels (B, C, Y, X) -> the same, some mirrored."""

    def __init__(self, probability: float, vertical: bool):
        self.probability, self.axis = probability, 2 if vertical else 3

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"]
        chosen = torch.from_numpy(uniform(batch.rows.numpy(), 1, *draw)[:, 0] < self.probability)
        mirrored = torch.where(chosen[:, None, None, None], x.flip(self.axis), x)
        return batch.replace({name: Cells({**cells.tensors, "pixels": mirrored}, cells.present)})
