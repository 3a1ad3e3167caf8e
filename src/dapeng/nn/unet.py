"""The way up of a U-Net: from coarse maps to fine ones, each joined with what the encoder saw at that size.

Ronneberger, Fischer, Brox: U-Net, 2015 (https://arxiv.org/abs/1505.04597); residual blocks: Zhang, Liu, Wang: Road Extraction by Deep
Residual U-Net, 2017 (https://arxiv.org/abs/1711.10684); the last step: Shi et al.: Sub-Pixel Convolution, 2016
(https://arxiv.org/abs/1609.05158).

Legend: B rows, C channels, Y X map, A labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3 x 3 convolutions with norms beside the identity, or a 1 x 1 convolution where the width changes."""

    def __init__(self, inputs: int, outputs: int, norm: Any):
        super().__init__()
        bias = norm.type == "none"
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.norm1, self.norm2 = norm.maps(outputs), norm.maps(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x))


class Up(nn.Module):
    """A coarse map (B, C, Y, X) and a finer one (B, D, 2 Y, 2 X) -> (B, W, 2 Y, 2 X)."""

    def __init__(self, coarse: int, fine: int, width: int, norm: Any):
        super().__init__()
        self.narrow = nn.Conv2d(coarse, width, 1)
        self.join = Residual(width + fine, width, norm)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        wide = F.interpolate(self.narrow(coarse), size=fine.shape[2:], mode="bilinear", align_corners=False)
        return self.join(torch.cat([wide, fine], 1))


class UpPath(nn.Module):
    """Maps of an encoder, finest first -> logits (B, A, Y, X) of every pixel of the picture.

    maps: (channels, stride) of each. widths: of the map that each becomes; the coarsest stays. Pixels between those of the
    finest map come out of its channels.
    """

    def __init__(self, maps: Sequence[tuple[int, int]], widths: Sequence[int], labels: int, norm: Any, dropout: float):
        super().__init__()
        self.stride, self.labels = maps[0][1], labels
        self.bottom = Residual(maps[-1][0], maps[-1][0], norm)
        self.drop = nn.Dropout2d(dropout) if dropout else nn.Identity()
        coarse, ups = maps[-1][0], []
        for (channels, _), width in zip(reversed(maps[:-1]), reversed(widths)):
            ups.append(Up(coarse, channels, width, norm))
            coarse = width
        self.ups = nn.ModuleList(ups)
        self.head = nn.Conv2d(
            coarse, labels * self.stride**2, 3 if self.stride > 1 else 1, padding=int(self.stride > 1)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        x = self.drop(self.bottom(maps[-1]))
        for up, fine in zip(self.ups, reversed(maps[:-1])):
            x = up(x, fine)
        x = self.head(x)
        return F.pixel_shuffle(x, self.stride) if self.stride > 1 else x


def warped(codes: Tensor, affine: Tensor, height: int, width: int, void: int) -> Tensor:
    """(B, height, width) label pictures (B, Y, X) moved by an affine (B, 2, 3) of pixels, by the nearest pixel; void where nothing comes in."""
    rows, columns = (torch.arange(n, device=codes.device, dtype=torch.float32) + 0.5 for n in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    back = torch.linalg.inv(affine[:, :, :2])
    at = (torch.stack([x, y], -1).view(1, -1, 2) - affine[:, None, :, 2]) @ back.mT  # (B, height width, 2)
    inside = (at >= 0).all(-1) & (at[..., 0] < codes.shape[2]) & (at[..., 1] < codes.shape[1])
    column = at[..., 0].floor().long().clamp(0, codes.shape[2] - 1)
    row = at[..., 1].floor().long().clamp(0, codes.shape[1] - 1)
    taken = codes.flatten(1).long().gather(1, row * codes.shape[2] + column)
    return torch.where(inside, taken, torch.full_like(taken, void)).view(-1, height, width)
