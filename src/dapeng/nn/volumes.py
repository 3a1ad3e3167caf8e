"""Residual blocks of convolutions in three dimensions, and how labels lie in volumes that were moved.

Legend: B rows, C channels, Z Y X volume.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAR = 2.0
"""How much farther apart slices may lie than lines, and still be halved, and looked at, like them."""


def steps(spacing: tuple[float, ...], frame: tuple[int, ...], levels: int) -> list[tuple[int, int, int]]:
    """By which each level halves z, y and x: first those axes whose voxels lie close, until all lie about as far apart.

    Isensee et al.: nnU-Net, 2021 (https://doi.org/10.1038/s41592-020-01008-z). An axis of fewer than four voxels is left.
    """
    apart, left, out = list(spacing), list(frame), [(1, 1, 1)]
    for _ in range(levels - 1):
        near = min((a for a, n in zip(apart, left) if n >= 4), default=1.0)
        step = tuple(2 if n >= 4 and a < FAR * near else 1 for a, n in zip(apart, left))
        apart, left = [a * s for a, s in zip(apart, step)], [-(-n // s) for n, s in zip(left, step)]
        out.append(step)  # type: ignore[arg-type]
    return out


def kernel(spacing: tuple[float, ...]) -> tuple[int, int, int]:
    """Of slices that lie far apart for their lines, each alone is looked at; of others three together."""
    return (1 if spacing[0] >= FAR * min(spacing[1:]) else 3, 3, 3)


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """A norm of pictures over a volume: statistics by channel are those over (B, Z, Y, X)."""
    return norm(x.flatten(2, 3)).unflatten(2, x.shape[2:4])


class Residual3d(nn.Module):
    """Two convolutions with norms beside the identity, or beside a 1 x 1 x 1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, norm: Any, size: tuple[int, ...], step: tuple[int, ...] = (1, 1, 1)):
        super().__init__()
        bias, pad = norm.type == "none", tuple(s // 2 for s in size)
        self.conv1 = nn.Conv3d(inputs, outputs, size, step, pad, bias=bias)  # type: ignore[arg-type]
        self.conv2 = nn.Conv3d(outputs, outputs, size, 1, pad, bias=bias)  # type: ignore[arg-type]
        self.norm1, self.norm2 = norm.maps(outputs), norm.maps(outputs)
        same = inputs == outputs and max(step) == 1
        self.skip = nn.Identity() if same else nn.Conv3d(inputs, outputs, 1, step, bias=False)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(normed(self.norm1, self.conv1(x)))
        return F.relu(normed(self.norm2, self.conv2(y)) + self.skip(x))


def moved_labels(codes: Tensor, first: Tensor, now: Tensor, shape: tuple[int, ...], void: int) -> Tensor:
    """(B, Z', Y', X') of label volumes (B, Z, Y, X) that `first` brought to size, where `now` has brought their volumes since.

    first, now: (B, 3, 4), of which each axis is scaled and moved by itself, x before y before z. By the nearest voxel; void where
    nothing comes in.
    """
    index, inside = [], []
    for axis, length in enumerate(shape):
        row = 2 - axis
        at = torch.arange(length, device=codes.device, dtype=torch.float32) + 0.5
        came = (at - now[:, row, 3:]) / now[:, row, row, None]  # (B, length) in voxels as they came
        place = came * first[:, row, row, None] + first[:, row, 3:]
        inside.append((place >= 0) & (place < codes.shape[1 + axis]))
        index.append(place.floor().long().clamp(0, codes.shape[1 + axis] - 1))
    z, y, x = index
    flat = (z[:, :, None, None] * codes.shape[2] + y[:, None, :, None]) * codes.shape[3] + x[:, None, None, :]
    taken = codes.flatten(1).long().gather(1, flat.flatten(1)).view(flat.shape)
    there = inside[0][:, :, None, None] & inside[1][:, None, :, None] & inside[2][:, None, None, :]
    return torch.where(there, taken, torch.full_like(taken, void))
