"""A square of a picture painted over. DeVries, Taylor: Cutout, 2017; Zhong et al.: Random Erasing, 2017."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform


@transforms
class Erase(TransformOptions):
    """Paint a square anywhere on a picture with the picture's mean, with some probability (cutout).

    Paper: DeVries and Taylor, 2017, https://arxiv.org/abs/1708.04552
    Example: `inputs: {photo: {type: image, augment: [flip, {type: erase, share: 0.25}]}}`
    """

    type: Literal["erase"] = "erase"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    carries: ClassVar[bool] = True
    share: float = Field(0.25, gt=0, le=1)
    """Side of the square, as a share of height and width."""
    probability: float = Field(1.0, ge=0, le=1)

    def build(self, column: Any) -> ErasePictures:
        return ErasePictures(self.share, self.probability)


class ErasePictures:
    """pixels (B, C, Y, X) -> the same, each with its own square."""

    def __init__(self, share: float, probability: float):
        self.share, self.probability = share, probability

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"]
        height, width = x.shape[2:]
        u = torch.from_numpy(uniform(batch.rows.numpy(), 3, *draw))
        inside = torch.ones(len(x), height, width, dtype=torch.bool)
        for axis, size in ((1, height), (2, width)):
            middle = (u[:, axis - 1] * size)[:, None]
            near = (torch.arange(size)[None] - middle).abs() <= self.share * size / 2
            inside &= near[:, :, None] if axis == 1 else near[:, None, :]
        inside &= (u[:, 2] < self.probability)[:, None, None]
        mean = x.float().mean((2, 3), keepdim=True).to(x.dtype)
        changed = torch.where(inside[:, None], mean, x)
        return batch.replace({name: Cells({**cells.tensors, "pixels": changed}, cells.present)})
