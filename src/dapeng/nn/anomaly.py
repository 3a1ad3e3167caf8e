"""Parts of what finds anomalies: the way back to pixels, a memory of patches, and how scores of patches become those of pictures.

Legend: B rows, C channels, Y X map, P patches, M remembered patches, D width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCHES_AT_ONCE = 256
"""Remembered patches that are compared with at a time."""
FEW = 30
"""Patches that the mean over all counts as, in the reach of one."""


class Back(nn.Module):
    """The coarsest map of an encoder -> a picture (B, C, Y, X) of its size: nothing of the finer maps helps it."""

    def __init__(self, channels: int, stride: int, outputs: int, norm: Any):
        super().__init__()
        layers: list[nn.Module] = []
        while stride > 1:
            fewer = max(16, channels // 2)
            layers += [nn.Conv2d(channels, fewer, 3, padding=1, bias=False), norm.maps(fewer), nn.ReLU()]
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            channels, stride = fewer, stride // 2
        self.path = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels, outputs, 3, padding=1)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        return self.head(self.path(x))[:, :, :height, :width]


def patches_of(maps: tuple[Tensor, ...], levels: list[int]) -> Tensor:
    """(B, P, D) of some maps, each averaged over 3 x 3 places and brought to the size of the first: Roth et al., section 3.1."""
    size = maps[levels[0]].shape[2:]
    around = [F.avg_pool2d(maps[i], 3, 1, 1) for i in levels]
    same = [around[0], *(F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in around[1:])]
    return torch.cat(same, 1).flatten(2).mT


def nearest(patches: Tensor, memory: Tensor, reach: Tensor) -> Tensor:
    """(B, P) distance of each patch (B, P, D) to the closest of a memory (M, D), each in its own reach (M,).

    Which one is closest is found without a slope, so that an explanation need not keep the distances to all of them.
    """
    best = at = None
    found = patches.detach()
    squares = (found**2).sum(-1, keepdim=True)
    for number, (part, scale) in enumerate(zip(memory.split(PATCHES_AT_ONCE), reach.split(PATCHES_AT_ONCE))):
        away, where = ((squares + (part**2).sum(-1) - 2 * found @ part.T).clamp(min=0) / scale**2).min(-1)
        where = where + number * PATCHES_AT_ONCE
        if best is None or at is None:
            best, at = away, where
        else:
            at, best = torch.where(away < best, where, at), torch.minimum(away, best)
    assert at is not None
    return ((patches - memory[at]) ** 2).sum(-1).clamp(min=1e-12).sqrt() / reach[at]


def reaches(pool: Tensor, memory: Tensor) -> Tensor:
    """(M,) how far the patches of a pool (N, D) lie from the remembered one that is closest to them, so that a coarse surface is not
    stranger than a fine one; a root mean square, drawn to that of all where they are few (as densities are in Breunig et al.: LOF, 2000).
    """
    near, at = (torch.cat(t) for t in zip(*(_closest(part, memory) for part in pool.split(1024))))
    sums = torch.zeros(len(memory)).index_add(0, at, near)
    counts = torch.zeros(len(memory)).index_add(0, at, torch.ones(len(at)))
    return ((sums + FEW * near.mean()) / (counts + FEW)).clamp(min=1e-12).sqrt()


def _closest(patches: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) squared distance to the closest of a memory, and which it is."""
    found = (patches**2).sum(1, keepdim=True) + (memory**2).sum(1) - 2 * patches @ memory.T
    least, at = found.min(1)
    return least.clamp(min=0), at


def coreset(pool: Tensor, count: int, seed: int) -> Tensor:
    """(count, D) rows of a pool (N, D) that leave no other far off: each the one farthest from those before (Sener, Savarese, 2018).

    Distances are those of random projections to at most 64 numbers.
    """
    if len(pool) <= count:
        return pool
    draw = torch.Generator().manual_seed(seed)
    x = pool if pool.shape[1] <= 64 else pool @ torch.randn(pool.shape[1], 64, generator=draw) / 8
    chosen, away = [0], torch.full((len(x),), float("inf"))
    squares = (x**2).sum(1)
    for _ in range(count - 1):
        last = x[chosen[-1]]
        away = torch.minimum(away, squares - 2 * x @ last + (last**2).sum())
        chosen.append(int(away.argmax()))
    return pool[chosen]


def smoothed(heat: Tensor, width: float) -> Tensor:
    """(B, Y, X) under a Gaussian of this deviation in pixels."""
    reach = max(1, round(3 * width))
    at = torch.arange(-reach, reach + 1, device=heat.device, dtype=heat.dtype)
    weights = (-(at**2) / (2 * width**2)).exp()
    weights = weights / weights.sum()
    x = F.pad(heat[:, None], (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, weights.view(1, 1, -1, 1))
    return F.conv2d(x, weights.view(1, 1, 1, -1))[:, 0]
