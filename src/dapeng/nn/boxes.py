"""Boxes as tensors (..., 4) of x1, y1, x2, y2: how they overlap, how they move with a picture, and which of several for one thing stay.

Legend: B rows, N M K boxes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROUNDS = 48
"""A box that stays suppresses others, which then suppress none: chains of so many are followed."""


def area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """(..., N, M) intersection over union of boxes (..., N, 4) and (..., M, 4)."""
    a, b = a[..., :, None, :], b[..., None, :, :]
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    size = (high - low).clamp(min=0)
    shared = size[..., 0] * size[..., 1]
    return shared / (area(a) + area(b) - shared).clamp(min=1e-9)


def complete_overlap(a: Tensor, b: Tensor) -> Tensor:
    """(...,) overlap of pairs, less the distance of their centres and the difference of their shapes (CIoU).

    Zheng et al.: Distance-IoU Loss, 2019 (https://arxiv.org/abs/1911.08287).
    """
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    size = (high - low).clamp(min=0)
    shared = size[..., 0] * size[..., 1]
    found = shared / (area(a) + area(b) - shared).clamp(min=1e-7)
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    far = (((a[..., :2] + a[..., 2:]) - (b[..., :2] + b[..., 2:])) ** 2).sum(-1) / 4
    distance = far / (around**2).sum(-1).clamp(min=1e-7)
    (aw, ah), (bw, bh) = ((x[..., 2:] - x[..., :2]).clamp(min=1e-4).unbind(-1) for x in (a, b))
    shape = (4 / math.pi**2) * (torch.atan(bw / bh) - torch.atan(aw / ah)) ** 2
    with torch.no_grad():
        share = shape / (1 - found + shape).clamp(min=1e-7)
    return found - distance - share * shape


def moved(boxes: Tensor, affine: Tensor) -> Tensor:
    """(B, N, 4) through (B, 2, 3): the box around both moved corners, which is exact for scales, mirrors and moves."""
    first = boxes[..., :2] @ affine[:, :, :2].mT + affine[:, None, :, 2]
    second = boxes[..., 2:] @ affine[:, :, :2].mT + affine[:, None, :, 2]
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], -1)


def inverse(affine: Tensor) -> Tensor:
    """(B, 2, 3) that undoes the other."""
    a, b, c, d = affine[:, 0, 0], affine[:, 0, 1], affine[:, 1, 0], affine[:, 1, 1]
    size = a * d - b * c
    turned = torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1) / size[:, None, None]
    return torch.cat([turned, -(turned @ affine[:, :, 2:])], 2)


def clipped(boxes: Tensor, height: float, width: float) -> Tensor:
    """Boxes cut at the border of a picture of this size."""
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], -1)


def survivors(boxes: Tensor, codes: Tensor, threshold: float, rounds: int = ROUNDS) -> Tensor:
    """(B, K) bool: which of boxes (B, K, 4), the surest first, no surer one of their class that stays overlaps by more.

    Greedy non-maximum suppression as a fixed point, without a branch on data: after r rounds all boxes are settled that end a
    chain of at most r, each suppressed by the one before. That is exact from K rounds on, and in practice from a few.
    """
    rank = torch.arange(boxes.shape[1], device=boxes.device)
    same = codes[:, :, None] == codes[:, None, :]
    over = ((overlap(boxes, boxes) > threshold) & same & (rank[:, None] < rank[None])).float()  # (B, by, whom)
    stays = torch.ones_like(over[:, 0])
    for _ in range(min(rounds, boxes.shape[1])):
        stays = ((stays[:, None] @ over)[:, 0] == 0).float()
    return stays > 0
