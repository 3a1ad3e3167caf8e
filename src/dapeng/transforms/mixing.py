"""Pairs of rows mixed: two pictures laid over each other, or a piece of one put into the other; and their answers with them.

Zhang et al.: mixup, 2017 (https://arxiv.org/abs/1710.09412); Yun et al.: CutMix, 2019 (https://arxiv.org/abs/1905.04899).
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
from dapeng.transforms.placed import STAYS, boxes_as_read


class MixOptions(TransformOptions):
    """What both ways of mixing have in common."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ("image",)
    mixes: ClassVar[bool] = True
    alpha: float = Field(1.0, gt=0, le=100)
    """Shares are drawn from Beta(alpha, alpha): 1 draws all alike, small values leave most rows nearly as they are."""
    probability: float = Field(0.5, gt=0, le=1)
    """Share of the rows that are mixed."""

    def build(self, column: Any) -> Any:
        raise NotImplementedError

    def mixable(self, column: Column) -> bool:
        """Whether answers of this output can be mixed."""
        return column.of is None and bool({"codes", "values", "labels"} & set(column.layout()))

    def with_outputs(self, built: Any, outputs: Mapping[str, Column]) -> Any:
        """The built step, which mixes these outputs' answers too. Raises SpecError for an output that can't be mixed."""
        problems = []
        for name, column in outputs.items():
            if not self.mixable(column):
                what = f"{self.type} mixes answers, and those of a column of type {column.type} can't be mixed"
                problems.append(Problem(f"outputs.{name}", what, f"leave {self.type} out of augment"))
        if problems:
            raise SpecError(problems)
        built.outputs = dict(outputs)
        return built


@transforms
class Mixup(MixOptions):
    """Two pictures laid over each other, and their answers in the same shares.

    Paper: Zhang et al., 2017, https://arxiv.org/abs/1710.09412
    Example: `inputs: {photo: {type: image, augment: [flip, {type: mixup, alpha: 0.2}]}}`
    """

    type: Literal["mixup"] = "mixup"
    carries: ClassVar[bool] = True

    def mixable(self, column: Column) -> bool:
        """Boxes too: those of both pictures are learnt."""
        return super().mixable(column) or "boxes" in column.layout()

    def build(self, column: Any) -> Mixing:
        return Mixing(self.alpha, self.probability, cut=False)


@transforms
class CutMix(MixOptions):
    """A rectangle of one picture put into another, and their answers in shares of the area.

    Paper: Yun et al., 2019, https://arxiv.org/abs/1905.04899
    Example: `inputs: {photo: {type: image, augment: [flip, cutmix]}}`
    """

    type: Literal["cutmix"] = "cutmix"

    def build(self, column: Any) -> Mixing:
        return Mixing(self.alpha, self.probability, cut=True)


class Mixing:
    """pixels (B, C, Y, X) and answers -> the same, mixed with those of another row of the batch; answers become probabilities."""

    def __init__(self, alpha: float, probability: float, cut: bool):
        self.alpha, self.probability, self.cut = alpha, probability, cut
        self.outputs: dict[str, Column] = {}

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        from scipy.special import betaincinv

        u = uniform(batch.rows.numpy(), 5, *draw)
        own = np.where(u[:, 0] < self.probability, betaincinv(self.alpha, self.alpha, u[:, 1]), 1.0)
        own = np.maximum(own, 1 - own)  # a row stays mostly itself
        partner = torch.from_numpy(np.roll(np.argsort(u[:, 2], kind="stable"), 1)[np.argsort(np.argsort(u[:, 2]))])
        cells = batch[name]
        x = cells["pixels"]
        share = torch.from_numpy(own).float()
        if self.cut:
            mixed, share = _pasted(x, x[partner], share, torch.from_numpy(u[:, 3:]).float())
        else:
            weight = share.view(-1, 1, 1, 1)
            mixed = (x.float() * weight + x[partner].float() * (1 - weight)).round().to(x.dtype)
        there = cells.present if cells.present is None else cells.present & cells.present[partner]
        mixing = torch.from_numpy(own < 1)
        changed = {name: _mixed_picture(cells, mixed, mixing, there)}
        for output, column in self.outputs.items():
            if "boxes" in batch[output]:
                changed[output] = _both_boxes(batch[output], cells, mixing, partner)
            else:
                changed[output] = _answers(batch[output], column, partner, share)
        return batch.replace(changed)


def _pasted(x: Tensor, other: Tensor, share: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C, Y, X) with a rectangle of the other picture, whose area is 1 - share; and the share that is left in truth."""
    height, width = x.shape[2:]
    side = (1 - share).clamp(min=0).sqrt()
    marks = []
    for number, size in enumerate((height, width)):
        low = ((at[:, number] - side / 2) * size).round().clamp(0, size)
        high = ((at[:, number] + side / 2) * size).round().clamp(0, size)
        place = torch.arange(size)[None]
        marks.append((place >= low[:, None]) & (place < high[:, None]))
    inside = marks[0][:, :, None] & marks[1][:, None, :]
    return torch.where(inside[:, None], other, x), 1 - inside.float().mean((1, 2))


def _mixed_picture(cells: Cells, pixels: Tensor, mixing: Tensor, there: Tensor | None) -> Cells:
    """A picture's cells with mixed pixels; what lies in mixed ones is told in pixels as they are read."""
    changed = {**cells.tensors, "pixels": pixels}
    if "affine" in cells:
        changed["affine"] = torch.where(mixing[:, None, None], STAYS, cells["affine"])
    return Cells(changed, there)


def _both_boxes(boxes: Cells, picture: Cells, mixing: Tensor, partner: Tensor) -> Cells:
    """The boxes of both pictures, in pixels as they are read; rows that aren't mixed keep their own as they are."""
    read = boxes_as_read(boxes, picture)
    own = torch.where(mixing[:, None, None], read, boxes["boxes"])
    tensors = {
        "boxes": torch.cat([own, read[partner]], 1),
        "codes": torch.cat([boxes["codes"], boxes["codes"][partner]], 1),
        "mask": torch.cat([boxes["mask"], boxes["mask"][partner] & mixing[:, None]], 1),
    }
    there = boxes.present if boxes.present is None else boxes.present & (boxes.present[partner] | ~mixing)
    return Cells(tensors, there)


def _answers(cells: Cells, column: Column, partner: Tensor, share: Tensor) -> Cells:
    """The answers of both rows in their shares; absent where either is."""
    there = cells.present if cells.present is None else cells.present & cells.present[partner]
    if "codes" in cells:
        one = F.one_hot(cells["codes"], len(column.labels)).float()  # type: ignore[attr-defined]
        return Cells({"probabilities": _mixed(one, one[partner], share)}, there)
    if "probabilities" in cells:
        return Cells({"probabilities": _mixed(cells["probabilities"], cells["probabilities"][partner], share)}, there)
    floats = {n: _mixed(t.float(), t[partner].float(), share) for n, t in cells.tensors.items()}
    return Cells(floats, there)


def _mixed(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    weight = share.view(-1, *[1] * (a.dim() - 1))
    return a * weight + b * (1 - weight)
