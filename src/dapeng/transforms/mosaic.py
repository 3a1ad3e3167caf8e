"""Four pictures in one, around a random middle, with the boxes and masks that lie in them.

Bochkovskiy, Wang, Liao: YOLOv4, 2020 (https://arxiv.org/abs/2004.10934).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from dapeng.columns.base import Column
from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform
from dapeng.transforms.placed import STAYS, boxes_as_read, masks_as_read

GREY = 114.0
VOID = 255
LEAST_VISIBLE = 0.25
"""Share of a box that must be left of it in its quarter."""


@transforms
class Mosaic(TransformOptions):
    """Put a picture and three others of the batch around a random middle, each cut at its quarter.

    Paper: Bochkovskiy et al., 2020, https://arxiv.org/abs/2004.10934
    Example: `inputs: {photo: {type: image, augment: [flip, {type: mosaic, probability: 0.5}]}}`
    """

    type: Literal["mosaic"] = "mosaic"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    mixes: ClassVar[bool] = True
    carries: ClassVar[bool] = True
    probability: float = Field(0.5, gt=0, le=1)
    """Share of the rows that become mosaics."""
    scale: list[float] = Field(default_factory=lambda: [0.6, 1.0], min_length=2, max_length=2)
    """Least and largest factor by which its pictures are scaled."""
    middle: float = Field(0.25, ge=0, le=0.5)
    """How far the middle may be from that of the picture, as a share of its sides."""

    def build(self, column: Any) -> Mosaics:
        return Mosaics(self.probability, (self.scale[0], self.scale[1]), self.middle)

    def with_outputs(self, built: Any, outputs: Mapping[str, Column]) -> Any:
        """The built step, which takes what lies in the pictures along. Raises SpecError for an output that is of the whole picture."""
        wrong = [n for n, c in outputs.items() if c.of is None]
        if wrong:
            what = "mosaic mixes pictures, and this answer is of a whole one"
            raise SpecError([Problem(f"outputs.{n}", what, "leave mosaic out of augment") for n in wrong])
        built.outputs = dict(outputs)
        return built


class Mosaics:
    """pixels (B, C, Y, X) and what lies in them -> the same, some rows of four pictures."""

    def __init__(self, probability: float, scale: tuple[float, float], middle: float):
        self.probability, self.scale, self.middle = probability, scale, middle
        self.outputs: dict[str, Column] = {}

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"]
        high, wide = x.shape[2:]
        u = uniform(batch.rows.numpy(), 8, *draw)
        chosen = torch.from_numpy(u[:, 0] < self.probability)
        order, rank = np.argsort(u[:, 1], kind="stable"), np.argsort(np.argsort(u[:, 1], kind="stable"))
        partners = [torch.from_numpy(order[(rank + k) % len(order)]) for k in range(4)]
        share = torch.from_numpy(0.5 + self.middle * (2 * u[:, 2:4] - 1)).float()
        middle = (share * torch.tensor([wide, high])).round()  # (B, 2)
        low, far = self.scale
        scales = torch.from_numpy(low + (far - low) * u[:, 4:8]).float()  # (B, 4)
        maps = [self._tile(k, middle, scales[:, k], wide, high) for k in range(4)]
        quarter = _quarters(middle, wide, high)  # (B, Y, X)
        changed = {name: self._picture(cells, chosen, partners, maps, quarter)}
        for output in (n for n, c in self.outputs.items() if c.of == name):
            changed[output] = self._answer(batch[output], cells, chosen, partners, maps, middle, quarter)
        return batch.replace(changed)

    def _tile(self, k: int, middle: Tensor, scale: Tensor, wide: int, high: int) -> tuple[Tensor, Tensor]:
        """(scale, move) that brings a picture into a quarter (0 upper left, 1 upper right, ...), its corner at the middle."""
        size = torch.tensor([wide if k % 2 == 0 else 0, high if k < 2 else 0])
        return scale, middle - scale[:, None] * size

    def _picture(self, cells: Cells, chosen: Tensor, partners: list[Tensor], maps: list[Any], quarter: Tensor) -> Cells:
        x = cells["pixels"]
        out = torch.full(x.shape, GREY)
        for k, (scale, move) in enumerate(maps):
            part = _sampled(x[partners[k]].float() - GREY, scale, move, "bilinear") + GREY
            out = torch.where((quarter == k)[:, None], part, out)
        mixed = torch.where(chosen[:, None, None, None], out.round().clamp(0, 255).to(x.dtype), x)
        tensors = {**cells.tensors, "pixels": mixed}
        if "affine" in cells:
            tensors["affine"] = torch.where(chosen[:, None, None], STAYS, cells["affine"])
        return Cells(tensors, _together(cells.present, chosen, partners))

    def _answer(
        self,
        answer: Cells,
        picture: Cells,
        chosen: Tensor,
        partners: list[Tensor],
        maps: list[Any],
        middle: Tensor,
        quarter: Tensor,
    ) -> Cells:
        there = _together(answer.present, chosen, partners)
        if "boxes" in answer:
            high, wide = picture["pixels"].shape[2:]
            return Cells(_boxes(answer, picture, chosen, partners, maps, middle, wide, high), there)
        codes = masks_as_read(answer, picture, VOID)
        out = torch.full_like(codes, VOID)
        for k, (scale, move) in enumerate(maps):
            part = _sampled(codes[partners[k]][:, None].float() - VOID, scale, move, "nearest")[:, 0] + VOID
            out = torch.where(quarter == k, part.to(codes.dtype), out)
        moved = torch.where(chosen[:, None, None], out, codes)
        affine = torch.where(chosen[:, None, None], STAYS, picture["affine"])
        return Cells({**answer.tensors, "codes": moved, "affine": affine}, there)


def _quarters(middle: Tensor, wide: int, high: int) -> Tensor:
    """(B, Y, X) the number of the quarter that each pixel lies in."""
    right = torch.arange(wide)[None, None] >= middle[:, 0, None, None]
    down = torch.arange(high)[None, :, None] >= middle[:, 1, None, None]
    return right.long() + 2 * down.long()


def _sampled(x: Tensor, scale: Tensor, move: Tensor, how: str) -> Tensor:
    """(B, C, Y, X) scaled and moved; 0 where nothing comes in."""
    size = torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float32)
    back = torch.zeros(len(x), 2, 3)
    back[:, 0, 0] = back[:, 1, 1] = 1 / scale
    back[:, :, 2] = (size / 2 - move) / (scale[:, None] * size / 2) - 1
    grid = F.affine_grid(back, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, how, align_corners=False)


def _boxes(
    answer: Cells,
    picture: Cells,
    chosen: Tensor,
    partners: list[Tensor],
    maps: list[Any],
    middle: Tensor,
    wide: int,
    high: int,
) -> dict[str, Tensor]:
    """Boxes of all four pictures, cut at their quarters; rows that stay as they are have their own alone."""
    read = boxes_as_read(answer, picture)
    every, codes, masks = [], [], []
    for k, (scale, move) in enumerate(maps):
        boxes = read[partners[k]] * scale[:, None, None] + move.repeat(1, 2)[:, None]
        low = torch.stack([middle[:, 0] * (k % 2), middle[:, 1] * (k // 2)], 1)
        end = torch.tensor([wide, high]).float()
        far = torch.stack(
            [
                middle[:, 0] if k % 2 == 0 else end[0].expand(len(middle)),
                middle[:, 1] if k < 2 else end[1].expand(len(middle)),
            ],
            1,
        )
        cut = torch.minimum(torch.maximum(boxes, low.repeat(1, 2)[:, None]), far.repeat(1, 2)[:, None])
        kept = (cut[..., 2:] - cut[..., :2]).prod(-1) >= LEAST_VISIBLE * (boxes[..., 2:] - boxes[..., :2]).prod(-1)
        own = answer["mask"] if k == 0 else torch.zeros_like(answer["mask"])
        first = answer["boxes"] if k == 0 else torch.zeros_like(answer["boxes"])
        every.append(torch.where(chosen[:, None, None], cut, first))
        codes.append(torch.where(chosen[:, None], answer["codes"][partners[k]], answer["codes"]))
        masks.append(torch.where(chosen[:, None], answer["mask"][partners[k]] & kept, own))
    return {"boxes": torch.cat(every, 1), "codes": torch.cat(codes, 1), "mask": torch.cat(masks, 1)}


def _together(present: Tensor | None, chosen: Tensor, partners: list[Tensor]) -> Tensor | None:
    """Whether all that a row is made of is there."""
    if present is None:
        return None
    return torch.where(chosen, torch.stack([present[p] for p in partners]).all(0), present)
