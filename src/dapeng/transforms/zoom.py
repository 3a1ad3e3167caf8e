"""Pictures made larger or smaller, wider or higher, and moved: a random crop of a scaled picture; what comes in at the border is grey."""

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

GREY = 114.0


@transforms
class Zoom(TransformOptions):
    """Scale a picture by a random factor, and its width and height a little otherwise; then move it.

    Boxes and masks in it move along.
    Example: `inputs: {photo: {type: image, augment: [flip, {type: zoom, scale: 0.4, move: 0.1}]}}`
    """

    type: Literal["zoom"] = "zoom"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    carries: ClassVar[bool] = True
    scale: float = Field(0.3, ge=0, lt=1)
    """Factors are from 1 - scale to 1 / (1 - scale), drawn alike in their logarithm."""
    stretch: float = Field(0.1, ge=0, lt=1)
    """Further factor of the width against the height, likewise."""
    move: float = Field(0.1, ge=0, le=1)
    """Largest move, as a share of width and height."""

    def build(self, column: Any) -> ZoomPictures:
        return ZoomPictures(self.scale, self.stretch, self.move)


class ZoomPictures:
    """pixels (B, C, Y, X) uint8 -> the same, each with its own scale and move about the middle."""

    def __init__(self, scale: float, stretch: float, move: float):
        self.scale, self.stretch, self.move = scale, stretch, move

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"]
        size = torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float32)
        u = uniform(batch.rows.numpy(), 4, *draw)
        both, apart = ((1 - s) ** (2 * u[:, i] - 1) for i, s in enumerate((self.scale, self.stretch)))
        factor = torch.from_numpy(np.stack([both * np.sqrt(apart), both / np.sqrt(apart)], 1)).float()
        far = torch.from_numpy(self.move * (2 * u[:, 2:] - 1)).float() * size
        move = far + (1 - factor) * size / 2  # about the middle
        back = torch.zeros(len(x), 2, 3)  # from new places to old ones, both from -1 to 1
        back[:, 0, 0], back[:, 1, 1] = 1 / factor[:, 0], 1 / factor[:, 1]
        back[:, :, 2] = -2 * far / size / factor
        grid = F.affine_grid(back, list(x.shape), align_corners=False)
        moved = F.grid_sample(x.float() - GREY, grid, align_corners=False) + GREY
        return batch.replace({name: placed(cells, moved.round().clamp(0, 255).to(x.dtype), factor, move)})
