"""Pictures made lighter, darker, flatter, greyer."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform


@transforms
class Colour(TransformOptions):
    """Change brightness, contrast and saturation by random factors.

    Example: `inputs: {photo: {type: image, augment: [{type: colour, brightness: 0.3}]}}`
    """

    type: Literal["colour"] = "colour"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    carries: ClassVar[bool] = True
    brightness: float = Field(0.2, ge=0, le=1)
    contrast: float = Field(0.2, ge=0, le=1)
    saturation: float = Field(0.2, ge=0, le=1)

    def build(self, column: Any) -> ColourPictures:
        return ColourPictures(self.brightness, self.contrast, self.saturation)


class ColourPictures:
    """pixels (B, C, Y, X) uint8 -> the same, each with its own factors."""

    def __init__(self, brightness: float, contrast: float, saturation: float):
        self.amounts = (brightness, contrast, saturation)

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"].float()
        u = torch.from_numpy(uniform(batch.rows.numpy(), 3, *draw)).float()
        brightness, contrast, saturation = (
            (1 + a * (2 * u[:, i] - 1)).view(-1, 1, 1, 1) for i, a in enumerate(self.amounts)
        )
        x = x * brightness
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * contrast
        if x.shape[1] == 3:
            grey = x.mean(1, keepdim=True)
            x = grey + (x - grey) * saturation
        changed = x.clamp(0, 255).to(torch.uint8)
        return batch.replace({name: Cells({**cells.tensors, "pixels": changed}, cells.present)})
