"""A random patch of a picture: what a network for large pictures learns from, where the whole would be too much at a time."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch
from dapeng.data.draws import uniform
from dapeng.transforms.placed import placed


@transforms
class Crop(TransformOptions):
    """Cut a patch of a fixed size out of a picture, anywhere. What lies in it is cut likewise; answers are for whole pictures.

    Example: `inputs: {slice: {type: image, augment: [flip, {type: crop, size: 256}]}}`
    """

    type: Literal["crop"] = "crop"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    carries: ClassVar[bool] = True
    size: int | Literal["auto"] = Field("auto", ge=8, le=65_536)
    """Height and width of a patch in pixels; at most those of the picture. auto: half of each."""

    def build(self, column: Any) -> CropPictures:
        return CropPictures(self.size)


class CropPictures:
    """pixels (B, C, Y, X) -> (B, C, size, size), each from its own place."""

    def __init__(self, size: int | Literal["auto"]):
        self.size = size

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"]
        high, wide = (max(1, s // 2) if isinstance(self.size, str) else min(self.size, s) for s in x.shape[2:])
        u = uniform(batch.rows.numpy(), 2, *draw)
        top, left = (
            (u[:, i] * (s - n + 1)).astype(np.int64) for i, (s, n) in enumerate(zip(x.shape[2:], (high, wide)))
        )
        cut = torch.stack([p[:, t : t + high, a : a + wide] for p, t, a in zip(x, top.tolist(), left.tolist())])
        move = -torch.from_numpy(np.stack([left, top], 1)).float()
        return batch.replace({name: placed(cells, cut, torch.ones(len(x), 2), move)})
