"""What denoisers are made of: times as waves, and pictures padded and folded so that maps halve evenly.

Legend: B rows, C channels, Y X picture, D width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WAVES = 64
"""Of a time, half of them sines and half cosines."""


class Told(nn.Module):
    """A time (B,) from 0 to 1 and a condition (B, K) or none -> one vector (B, D) for every block."""

    def __init__(self, condition: int | None, width: int):
        super().__init__()
        self.of_time = nn.Sequential(nn.Linear(WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.of_condition = nn.Linear(condition, width) if condition is not None else None

    def forward(self, t: Tensor, condition: Tensor | None) -> Tensor:
        said = self.of_time(waves(t))
        return said if self.of_condition is None or condition is None else said + self.of_condition(condition)


def waves(t: Tensor, count: int = WAVES) -> Tensor:
    """(B, count) of times (B,): sines and cosines of periods from 1/500 to 20, as in Vaswani et al., 2017."""
    half = count // 2
    rates = torch.exp(torch.arange(half, device=t.device, dtype=torch.float32) * (-math.log(10_000) / half))
    angles = t.float()[:, None] * 1000 * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


class Folded(nn.Module):
    """Pictures (B, C, Y, X) to maps (B, C p p, Y', X'), p x p pixels into channels, and back.

    Y' and X' are multiples of `multiple`: what is missing is filled with the border's own pixels, and cut off on the way back.
    """

    def __init__(self, shape: tuple[int, int, int], patch: int, multiple: int):
        super().__init__()
        self.patch, self.height, self.width = patch, shape[1], shape[2]
        self.tall, self.wide = (-(-side // (patch * multiple)) * patch * multiple for side in shape[1:])

    def maps(self, x: Tensor) -> Tensor:
        extra = (0, self.wide - self.width, 0, self.tall - self.height)
        x = F.pad(x, extra, mode="replicate") if any(extra) else x
        return F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x

    def pictures(self, maps: Tensor) -> Tensor:
        x = F.pixel_shuffle(maps, self.patch) if self.patch > 1 else maps
        return x[:, :, : self.height, : self.width]
