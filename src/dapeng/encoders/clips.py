"""From bytes to floats: what every encoder of videos does first."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder


class ClipEncoder(Encoder):
    """Base of encoders of videos: `embed` gives the normalised frames of the first clip (B, F, C, Y, X)."""

    scale: Tensor
    shift: Tensor

    def __init__(self, column: Any):
        super().__init__()
        self.frames: int = column.options.frames
        self.shape: tuple[int, int, int] = column.shape
        mean, std = (torch.tensor(v, dtype=torch.float32).view(1, 1, -1, 1, 1) for v in column.normalisation)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", mean / std, persistent=False)

    def embed(self, cells: Cells) -> Tensor:
        return cells["frames"][:, : self.frames].float() * self.scale - self.shift
