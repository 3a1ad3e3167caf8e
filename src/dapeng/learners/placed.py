"""Pictures as learners see them that find things in them, and boxes in the layout of the column that is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dapeng.columns.average_precision import Found
from dapeng.columns.pictures import Unreadable
from dapeng.learners.base import Inputs


def laid_out(found: Sequence[Found], most: int) -> dict[str, np.ndarray]:
    """Boxes of each row, the surest first, at most so many; zeros behind them."""
    out = {
        "boxes": np.zeros((len(found), most, 4), np.float32),
        "scores": np.zeros((len(found), most), np.float32),
        "codes": np.zeros((len(found), most), np.int64),
    }
    for row, (boxes, scores, codes) in enumerate(found):
        order = np.argsort(-scores, kind="stable")[:most]
        for name, part in (("boxes", boxes), ("scores", scores), ("codes", codes)):
            out[name][row, : len(order)] = part[order]
    return out


def pictures_of(inputs: Inputs, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(C, Y, X) uint8 of each row at the size at which it is read, and the affine (2, 3) that brought it there; blank where it can't be read."""
    column: Any = inputs.columns[name]
    for cell in inputs.cells[name]:
        value = cell.as_py()
        value = (value.get("bytes") or value.get("path")) if isinstance(value, dict) else value
        try:
            tensors = column.tensors(value or None, inputs.base)
        except Unreadable:
            tensors = column.tensors(None)
        yield tensors["pixels"], tensors["affine"]
