"""A few of many changes, drawn at random, all of one strength.

Cubuk, Zoph, Shlens, Le: RandAugment, 2019 (https://arxiv.org/abs/1909.13719).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform

STRONGEST = 10


@transforms
class RandAugment(TransformOptions):
    """So many of twelve changes for each picture: rotation, shear, moves, brightness, contrast, colour, sharpness, autocontrast,
    equalising, solarising, posterising, none.

    Paper: Cubuk et al., 2019, https://arxiv.org/abs/1909.13719
    Example: `inputs: {photo: {type: image, augment: [flip, {type: rand_augment, changes: 2, strength: 5}]}}`
    """

    type: Literal["rand_augment"] = "rand_augment"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    changes: int = Field(2, ge=1, le=12)
    """Changes of a picture, one after the other."""
    strength: float = Field(5.0, ge=0, le=STRONGEST)
    """From 0 to 10."""

    def build(self, column: Any) -> RandAugmentPictures:
        return RandAugmentPictures(self.changes, self.strength / STRONGEST)


class RandAugmentPictures:
    """pixels (B, C, Y, X) uint8 -> the same, each with its own changes."""

    def __init__(self, changes: int, strength: float):
        self.changes, self.strength = changes, strength

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"].float() / 255
        u = torch.from_numpy(uniform(batch.rows.numpy(), 2 * self.changes, *draw)).float()
        for number in range(self.changes):
            chosen = (u[:, 2 * number] * len(CHANGES)).long()
            amount = self.strength * (2 * u[:, 2 * number + 1] - 1)
            x = x.clone()
            for index, change in enumerate(CHANGES):
                rows = torch.nonzero(chosen == index)[:, 0]
                if len(rows):
                    x[rows] = change(x[rows], amount[rows].view(-1, 1, 1, 1)).clamp(0, 1)
        changed = (x * 255).round().to(torch.uint8)
        return batch.replace({name: Cells({**cells.tensors, "pixels": changed}, cells.present)})


# each takes (N, C, Y, X) from 0 to 1 and (N, 1, 1, 1) amounts from -1 to 1


def _blended(x: Tensor, base: Tensor, amount: Tensor) -> Tensor:
    """Towards a base (negative) or away from it."""
    return base + (x - base) * (1 + 0.9 * amount)


def _grey(x: Tensor) -> Tensor:
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def none(x: Tensor, amount: Tensor) -> Tensor:
    return x


def brightness(x: Tensor, amount: Tensor) -> Tensor:
    return _blended(x, torch.zeros_like(x), amount)


def contrast(x: Tensor, amount: Tensor) -> Tensor:
    return _blended(x, _grey(x).mean((2, 3), keepdim=True), amount)


def colour(x: Tensor, amount: Tensor) -> Tensor:
    return _blended(x, _grey(x), amount)


def sharpness(x: Tensor, amount: Tensor) -> Tensor:
    kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    soft = F.conv2d(padded, kernel.expand(x.shape[1], 1, 3, 3), groups=x.shape[1])
    return _blended(x, soft, amount)


def autocontrast(x: Tensor, amount: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1e-3), x)


def equalise(x: Tensor, amount: Tensor) -> Tensor:
    """Each channel's values by their rank, as far as 256 of them differ."""
    levels = (x * 255).round().long().flatten(2)  # (N, C, Y X)
    counts = torch.zeros(*levels.shape[:2], 256).scatter_add_(2, levels, torch.ones_like(levels, dtype=torch.float32))
    below = counts.cumsum(2) - counts
    last = torch.where(counts > 0, torch.arange(256.0), torch.zeros(())).argmax(2, keepdim=True)
    table = (below / below.gather(2, last).clamp(min=1)).clamp(0, 1)
    return table.gather(2, levels).view_as(x)


def solarise(x: Tensor, amount: Tensor) -> Tensor:
    return torch.where(x >= 1 - amount.abs(), 1 - x, x)


def posterise(x: Tensor, amount: Tensor) -> Tensor:
    levels = 2.0 ** (8 - (4 * amount.abs()).round())
    return (x * 255 / (256 / levels)).floor() * (256 / levels) / 255


def _warped(x: Tensor, matrix: list[list[Tensor]]) -> Tensor:
    """Each picture through its own affine map (of places from -1 to 1); what comes in at the border is grey."""
    theta = torch.stack([torch.stack([v.expand(len(x)) for v in row], 1) for row in matrix], 1)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x - 0.5, grid, align_corners=False) + 0.5


def rotate(x: Tensor, amount: Tensor) -> Tensor:
    angle = amount[:, 0, 0, 0] * math.pi / 6
    zero = torch.zeros(1)
    return _warped(x, [[angle.cos(), -angle.sin(), zero], [angle.sin(), angle.cos(), zero]])


def shear(x: Tensor, amount: Tensor) -> Tensor:
    zero, one = torch.zeros(1), torch.ones(1)
    return _warped(x, [[one, 0.3 * amount[:, 0, 0, 0], zero], [zero, one, zero]])


def move_across(x: Tensor, amount: Tensor) -> Tensor:
    zero, one = torch.zeros(1), torch.ones(1)
    return _warped(x, [[one, zero, 0.6 * amount[:, 0, 0, 0]], [zero, one, zero]])


def move_down(x: Tensor, amount: Tensor) -> Tensor:
    zero, one = torch.zeros(1), torch.ones(1)
    return _warped(x, [[one, zero, zero], [zero, one, 0.6 * amount[:, 0, 0, 0]]])


CHANGES: list[Callable[[Tensor, Tensor], Tensor]] = [
    *(none, brightness, contrast, colour, sharpness, autocontrast, equalise, solarise, posterise),
    *(rotate, shear, move_across, move_down),
]
