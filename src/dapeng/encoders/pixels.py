"""From bytes to floats: what every picture encoder does first."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder


class PictureEncoder(Encoder):
    """Base of encoders of pictures: `embed` gives normalised pixels (B, C, Y, X)."""

    scale: Tensor
    shift: Tensor

    def __init__(self, column: Any):
        super().__init__()
        mean, std = (torch.tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in column.normalisation)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", mean / std, persistent=False)
        self.shape: tuple[int, int, int] = column.shape

    def embed(self, cells: Cells) -> Tensor:
        return cells["pixels"].float() * self.scale - self.shift
