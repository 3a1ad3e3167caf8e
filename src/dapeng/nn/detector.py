"""The neck and head of a one-stage detector over a pyramid of maps.

Lin et al.: Feature Pyramid Networks, 2016 (https://arxiv.org/abs/1612.03144); Liu et al.: Path Aggregation Network, 2018
(https://arxiv.org/abs/1803.01534); distances as distributions: Li et al.: Generalized Focal Loss, 2020 (https://arxiv.org/abs/2006.04388).

Legend: B rows, C channels, Y X map, P places of all maps, A classes, R bins of a distance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDES = 4
PRIOR = 0.01
"""Score of every place before training: nearly all of them are background."""


class Convolution(nn.Sequential):
    """Convolution, norm, SiLU. depthwise: of each channel by itself, and then 1 x 1."""

    def __init__(self, inputs: int, outputs: int, norm: Any, kernel: int = 3, stride: int = 1, depthwise: bool = False):
        bias, pad = norm.type == "none", kernel // 2
        first: list[nn.Module] = []
        if depthwise:
            first = [nn.Conv2d(inputs, inputs, kernel, stride, pad, groups=inputs, bias=False)]
            kernel, stride, pad = 1, 1, 0
        layers = [nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=bias), norm.maps(outputs), nn.SiLU()]
        super().__init__(*first, *layers)


class Stack(nn.Sequential):
    """So many residual pairs of convolutions of one width."""

    def __init__(self, width: int, blocks: int, norm: Any):
        super().__init__(*(Pair(width, norm) for _ in range(blocks)))


class Pair(nn.Module):
    """Two 3 x 3 convolutions beside the identity, half as wide between them."""

    def __init__(self, width: int, norm: Any):
        super().__init__()
        self.narrow, self.wide = Convolution(width, width // 2, norm), Convolution(width // 2, width, norm)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.wide(self.narrow(x))


class Neck(nn.Module):
    """Maps of an encoder, finest first -> as many maps of one width: first what is coarse tells what is fine, then the way back."""

    def __init__(self, channels: Sequence[int], width: int, blocks: int, norm: Any):
        super().__init__()
        self.inward = nn.ModuleList(Convolution(c, width, norm, 1) for c in channels)
        self.down = nn.ModuleList(Stack(width, blocks, norm) for _ in channels[1:])
        self.stride = nn.ModuleList(Convolution(width, width, norm, 3, 2) for _ in channels[1:])
        self.up = nn.ModuleList(Stack(width, blocks, norm) for _ in channels[1:])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        x = [layer(m) for layer, m in zip(self.inward, maps)]
        for i in reversed(range(len(x) - 1)):
            x[i] = self.down[i](x[i] + F.interpolate(x[i + 1], size=x[i].shape[2:], mode="nearest"))
        for i in range(len(x) - 1):
            finer = self.stride[i](x[i])[:, :, : x[i + 1].shape[2], : x[i + 1].shape[3]]
            x[i + 1] = self.up[i](x[i + 1] + finer)
        return x


class Head(nn.Module):
    """One map (B, C, Y, X) -> class logits (B, Y X, A) and logits of the distances to the four sides (B, Y X, 4, R)."""

    def __init__(self, width: int, labels: int, bins: int, convolutions: int, norm: Any):
        super().__init__()
        self.what = nn.Sequential(*(Convolution(width, width, norm, depthwise=True) for _ in range(convolutions)))
        self.where = nn.Sequential(*(Convolution(width, width, norm) for _ in range(convolutions)))
        self.label, self.distance = nn.Conv2d(width, labels, 1), nn.Conv2d(width, SIDES * bins, 1)
        nn.init.constant_(self.label.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]
        nn.init.normal_(self.label.weight, std=0.01)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        what = self.label(self.what(x)).flatten(2).mT
        where = self.distance(self.where(x)).flatten(2).mT
        return what, where.unflatten(2, (SIDES, -1))


class Detector(nn.Module):
    """Maps, finest first, and their strides -> logits of classes (B, P, A) and of distances (B, P, 4, R) at every place."""

    def __init__(
        self,
        maps: Sequence[tuple[int, int]],
        labels: int,
        width: int,
        blocks: int,
        convolutions: int,
        bins: int,
        norm: Any,
    ):
        super().__init__()
        self.strides = [stride for _, stride in maps]
        self.neck = Neck([channels for channels, _ in maps], width, blocks, norm)
        self.heads = nn.ModuleList(Head(width, labels, bins, convolutions, norm) for _ in maps)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        each = [head(x) for head, x in zip(self.heads, self.neck(maps))]
        return torch.cat([what for what, _ in each], 1), torch.cat([where for _, where in each], 1)

    def places(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Centres (P, 2) of all places in pixels of the picture as it is read, x before y, and strides (P,)."""
        centres, strides = [], []
        for x, stride in zip(maps, self.strides):
            rows, columns = (torch.arange(s, device=x.device, dtype=torch.float32) for s in x.shape[2:])
            y, across = torch.meshgrid(rows, columns, indexing="ij")
            centres.append((torch.stack([across, y], 2).flatten(0, 1) + 0.5) * stride)
            strides.append(torch.full_like(across.flatten(), float(stride)))
        return torch.cat(centres), torch.cat(strides)


def corners(distances: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """(B, P, 4) boxes out of logits of distances (B, P, 4, R): the mean of each distribution, in strides."""
    bins = torch.arange(distances.shape[3], device=distances.device, dtype=distances.dtype)
    far = (distances.softmax(3) @ bins) * strides[:, None]
    return torch.cat([centres - far[..., :2], centres + far[..., 2:]], 2)


def distribution_loss(distances: Tensor, wanted: Tensor) -> Tensor:
    """(B, P) cross-entropy of both bins around each wanted distance (B, P, 4), in strides; the mean of the four sides."""
    most = distances.shape[3] - 1
    wanted = wanted.clamp(0, most - 0.01)
    low = wanted.floor()
    share = wanted - low
    logs = distances.log_softmax(3)
    below = logs.gather(3, low.long()[..., None])[..., 0]
    above = logs.gather(3, (low.long() + 1)[..., None])[..., 0]
    return -((1 - share) * below + share * above).mean(2)


def used(maps: Sequence[tuple[int, int]], levels: int) -> list[int]:
    """Which maps of a pyramid are looked at: so many coarse ones, of strides up to 32 where there are such."""
    fit = [i for i, (_, stride) in enumerate(maps) if stride <= 32] or list(range(len(maps)))
    chosen = fit[-levels:]
    steps = [b // a for a, b in pairwise([maps[i][1] for i in chosen])]
    return (
        chosen
        if all(s == 2 for s in steps)
        else [i for n, i in enumerate(chosen) if n == 0 or maps[i][1] > maps[chosen[n - 1]][1]]
    )
