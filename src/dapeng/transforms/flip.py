"""Pictures mirrored left to right."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch
from dapeng.data.draws import uniform
from dapeng.transforms.placed import placed


@transforms
class Flip(TransformOptions):
    """Mirror a picture, left to right (or top to bottom), with some probability.

    Example: `inputs: {photo: {type: image, augment: [flip]}}`
    """

    type: Literal["flip"] = "flip"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    carries: ClassVar[bool] = True
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
        across = self.axis == 3
        sign = 1 - 2 * chosen.float()
        one, zero = torch.ones(len(x)), torch.zeros(len(x))
        far = chosen * float(x.shape[self.axis])
        scale, move = ([sign, one], [far, zero]) if across else ([one, sign], [zero, far])
        return batch.replace({name: placed(cells, mirrored, torch.stack(scale, 1), torch.stack(move, 1))})
