"""Pictures that were moved, with the affine that tells where: what lies in them is found by it."""

from __future__ import annotations

import torch
from torch import Tensor

from dapeng.data.batch import Cells

STAYS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""The affine of what is already in pixels as they are read."""


def placed(cells: Cells, pixels: Tensor, scale: Tensor, move: Tensor) -> Cells:
    """A picture's cells with new pixels, whose place is that of the old ones times `scale`, and then moved: (B, 2), x before y."""
    changed = {**cells.tensors, "pixels": pixels}
    if "affine" in cells:
        there = cells["affine"] * scale[:, :, None]
        there[:, :, 2] += move
        changed["affine"] = there
    return Cells(changed, cells.present)


def boxes_as_read(boxes: Cells, picture: Cells) -> Tensor:
    """(B, N, 4) boxes in pixels of the picture as it is read by now."""
    affine = picture["affine"]
    first, second = (boxes["boxes"][..., i : i + 2] @ affine[:, :, :2].mT + affine[:, None, :, 2] for i in (0, 2))
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], -1)


def masks_as_read(mask: Cells, picture: Cells, void: int) -> Tensor:
    """(B, Y, X) label pictures moved as their picture was since both were brought to size; void where nothing comes in."""
    first, now, codes = mask["affine"], picture["affine"], mask["codes"]
    high, wide = picture["pixels"].shape[2:]
    scale = first[:, :, :2] @ torch.linalg.inv(now[:, :, :2])  # from new places to old ones
    move = first[:, :, 2] - (scale @ now[:, :, 2:])[..., 0]
    y, x = torch.meshgrid(torch.arange(high) + 0.5, torch.arange(wide) + 0.5, indexing="ij")
    at = torch.stack([x, y], -1).view(1, -1, 2) @ scale.mT + move[:, None]
    inside = (at >= 0).all(-1) & (at[..., 0] < codes.shape[2]) & (at[..., 1] < codes.shape[1])
    column, row = at[..., 0].long().clamp(0, codes.shape[2] - 1), at[..., 1].long().clamp(0, codes.shape[1] - 1)
    taken = codes.flatten(1).gather(1, row * codes.shape[2] + column)
    return torch.where(inside, taken, torch.full_like(taken, void)).view(-1, high, wide)
