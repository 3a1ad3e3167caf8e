"""Several views of a picture at prediction, whose answers are averaged (test-time augmentation).

Krizhevsky et al., 2012, averaged ten crops; He et al., 2015, mirrored ones too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dapeng.columns.base import Column
from dapeng.data.batch import Batch, Cells

SHARE = 0.0625
"""How far a moved view is moved, of height and width; at least a pixel."""


def views_of(inputs: Mapping[str, Column]) -> list[Callable[[Batch], Batch]]:
    """The views beside the cells as they are, for the first column that asks for any."""
    for name, column in inputs.items():
        asked = getattr(column.options, "views", "one")
        if asked != "one":
            return [partial(_seen, name=name, change=change) for change in CHANGES[asked]]
        if looks := column.looks():
            return [partial(_looked, name=name, look=look) for look in looks]
    return []


def _looked(batch: Batch, name: str, look: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Batch:
    cells = batch[name]
    return batch.replace({name: Cells(look(cells.tensors), cells.present)})


def _seen(batch: Batch, name: str, change: Callable[[Tensor], Tensor]) -> Batch:
    cells = batch[name]
    return batch.replace({name: Cells({**cells.tensors, "pixels": change(cells["pixels"])}, cells.present)})


def mirrored(x: Tensor) -> Tensor:
    """(B, C, Y, X) left to right."""
    return x.flip(3)


def moved(x: Tensor, way: int, mirror: bool) -> Tensor:
    """(B, C, Y, X) moved along the diagonal, up and left (-1) or down and right (1); the border is repeated."""
    x = x.flip(3) if mirror else x
    height, width = x.shape[2:]
    far_y, far_x = (max(1, round(SHARE * s)) for s in (height, width))
    padded = F.pad(x.float(), (far_x, far_x, far_y, far_y), mode="replicate").to(x.dtype)
    top, left = far_y * (1 - way), far_x * (1 - way)
    return padded[:, :, top : top + height, left : left + width]


CHANGES: dict[str, list[Any]] = {
    "mirror": [mirrored],
    "moved": [mirrored, *(partial(moved, way=w, mirror=m) for w in (-1, 1) for m in (False, True))],
}


def averaged(found: list[dict[str, dict[str, Tensor]]]) -> dict[str, dict[str, Tensor]]:
    """Predictions of several views as one: the mean of each tensor."""
    if len(found) == 1:
        return found[0]
    return {n: {k: _mean([f[n][k] for f in found]) for k in p} for n, p in found[0].items()}


def _mean(each: list[Tensor]) -> Tensor:
    """The mean; of what has none, such as the tokens of a text, the first."""
    return torch.stack(each).mean(0) if each[0].is_floating_point() else each[0]
