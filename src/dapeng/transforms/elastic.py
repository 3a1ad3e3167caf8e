"""Pictures bent smoothly, as tissue is, with the masks that lie on them.

Simard, Steinkraus, Platt: Best Practices for Convolutional Neural Networks, 2003 (https://doi.org/10.1109/ICDAR.2003.1227801).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from dapeng.columns.base import Column
from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform
from dapeng.transforms.placed import masks_as_read

VOID = 255


@transforms
class Elastic(TransformOptions):
    """Move each pixel by a smooth random field. Masks move along; boxes can't.

    Paper: Simard et al., 2003, https://doi.org/10.1109/ICDAR.2003.1227801
    Example: `inputs: {slice: {type: image, augment: [flip, {type: elastic, strength: 0.03}]}}`
    """

    type: Literal["elastic"] = "elastic"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    carries: ClassVar[bool] = True
    strength: float = Field(0.03, gt=0, le=0.5)
    """Largest move of a knot, as a share of the sides."""
    knots: int = Field(6, ge=2, le=64)
    """Random moves along each side; between them they are interpolated (cubic)."""

    def build(self, column: Any) -> ElasticPictures:
        return ElasticPictures(self.strength, self.knots)

    def with_outputs(self, built: Any, outputs: Mapping[str, Column]) -> Any:
        wrong = [n for n, c in outputs.items() if c.of is not None and "boxes" in c.layout()]
        if wrong:
            what = "elastic bends the picture, and boxes can't be bent"
            raise SpecError([Problem(f"outputs.{n}", what, "leave elastic out of augment, or use zoom") for n in wrong])
        built.outputs = dict(outputs)
        return built


class ElasticPictures:
    """pixels (B, C, Y, X) -> the same, each bent by its own field."""

    def __init__(self, strength: float, knots: int):
        self.strength, self.knots = strength, knots
        self.outputs: dict[str, Column] = {}

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        cells = batch[name]
        x = cells["pixels"]
        grid = self._grid(batch, x, draw)
        bent = F.grid_sample(x.float(), grid, padding_mode="reflection", align_corners=False)
        changed = {name: Cells({**cells.tensors, "pixels": bent.round().clamp(0, 255).to(x.dtype)}, cells.present)}
        for output in (n for n, c in self.outputs.items() if c.of == name):
            answer = batch[output]
            codes = masks_as_read(answer, cells, VOID)
            moved = F.grid_sample(codes[:, None].float(), grid, "nearest", "reflection", align_corners=False)[:, 0]
            tensors = {**answer.tensors, "codes": moved.to(codes.dtype), "affine": cells["affine"]}
            changed[output] = Cells(tensors, answer.present)
        return batch.replace(changed)

    def _grid(self, batch: Batch, x: Tensor, draw: tuple[int, ...]) -> Tensor:
        """(B, Y, X, 2) places from -1 to 1 that pixels come from."""
        size, knots = list(x.shape), self.knots
        u = torch.from_numpy(uniform(batch.rows.numpy(), 2 * knots * knots, *draw)).float()
        field = F.interpolate((2 * u - 1).view(-1, 2, knots, knots), size=size[2:], mode="bicubic", align_corners=True)
        still = torch.eye(2, 3).expand(len(x), 2, 3)
        return F.affine_grid(still, size, align_corners=False) + 2 * self.strength * field.permute(0, 2, 3, 1)
