"""Pictures moved by a few pixels; what comes in at the border is the border's colour."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch
from dapeng.data.draws import uniform
from dapeng.transforms.placed import placed


@transforms
class Shift(TransformOptions):
    """Move a picture by up to a share of its size (a random crop of the padded picture).

    Example: `inputs: {photo: {type: image, augment: [{type: shift, share: 0.1}]}}`
    """

    type: Literal["shift"] = "shift"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    carries: ClassVar[bool] = True
    share: float = Field(0.1, gt=0, le=0.5)
    """Largest move, as a share of height and width; at least a pixel."""

    def build(self, column: Any) -> ShiftPictures:
        return ShiftPictures(self.share)


class ShiftPictures:
    """pixels (B, C, Y, X) -> the same, each moved by its own whole pixels."""

    def __init__(self, share: float):
        self.share = share

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"]
        height, width = x.shape[2:]
        far_y, far_x = (max(1, round(self.share * s)) for s in (height, width))
        u = uniform(batch.rows.numpy(), 2, *draw)
        down = torch.from_numpy((u[:, 0] * (2 * far_y + 1)).astype(np.int64))
        right = torch.from_numpy((u[:, 1] * (2 * far_x + 1)).astype(np.int64))
        padded = F.pad(x.float(), (far_x, far_x, far_y, far_y), mode="replicate").to(x.dtype)
        moved = torch.empty_like(x)
        for dy in range(2 * far_y + 1):  # rows with the same move are cut in one go
            for dx in range(2 * far_x + 1):
                chosen = (down == dy) & (right == dx)
                moved[chosen] = padded[chosen, :, dy : dy + height, dx : dx + width]
        move = torch.stack([far_x - right, far_y - down], 1).float()
        return batch.replace({name: placed(cells, moved, torch.ones(len(x), 2), move)})
