"""From bytes to floats: what every picture encoder does first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.features import Features
from dapeng.nn.transforms import transformed

NORMALISATIONS: dict[str, tuple[list[float], list[float]]] = {
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "half": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
}
"""Mean and deviation of the channels, of pixels from 0 to 1, that public weights were trained with."""


class PictureEncoder(Encoder):
    """Base of encoders of pictures: `embed` gives normalised pixels (B, C, Y, X)."""

    scale: Tensor
    shift: Tensor

    def __init__(self, column: Any, normalisation: str = "data"):
        super().__init__()
        self.shape: tuple[int, int, int] = column.shape
        known = NORMALISATIONS.get(normalisation) if self.shape[0] == 3 else None
        mean, std = (torch.tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in known or column.normalisation)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", mean / std, persistent=False)

    def embed(self, cells: Cells) -> Tensor:
        x = cells["pixels"].float() * self.scale - self.shift
        return x if torch.compiler.is_exporting() or transformed() else _channels_last(x)


def _channels_last(x: Tensor) -> Tensor:
    """(B, C, Y, X) in the order in memory with which a processor's convolutions are up to twice as fast."""
    if x.shape[1] > 1:
        return x.contiguous(memory_format=torch.channels_last)
    height, width = x.shape[2:]
    return x.contiguous().as_strided(x.shape, (height * width, 1, width, 1))  # one channel has both orders: say which


class StagedEncoder(PictureEncoder):
    """Stages of convolutions, then full layers: pixels (B, C, Y, X) -> maps of the stages, pooled (B, D)."""

    stages: nn.ModuleList

    def end(self, channels: int, side: int, hidden: list[int], layer: Callable[[int, int], list[nn.Module]]) -> int:
        """Full layers over the last map, brought to side x side; each made by `layer` of two widths. Returns the last width."""
        self.grid = nn.AdaptiveAvgPool2d(side)
        widths = [channels * side * side, *hidden]
        self.full = nn.Sequential(*(part for pair in pairwise(widths) for part in layer(*pair)))
        return widths[-1]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        maps, x = [], embedded
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        pooled = self.full(self.grid(x).flatten(1))
        return Features(pooled=pooled, tokens=x.flatten(2).transpose(1, 2), maps=tuple(maps))


def normalisation_of(facts: dict[str, Any]) -> str:
    """The name of the normalisation that a preprocessor_config.json asks for; ImageNet's where it says nothing."""
    mean = facts.get("image_mean")
    return "half" if mean is not None and all(abs(m - 0.5) < 1e-6 for m in mean) else "imagenet"
