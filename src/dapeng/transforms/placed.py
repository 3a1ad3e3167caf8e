"""Pictures that were moved, with the affine that tells where: what lies in them is found by it."""

from __future__ import annotations

from torch import Tensor

from dapeng.data.batch import Cells


def placed(cells: Cells, pixels: Tensor, scale: Tensor, move: Tensor) -> Cells:
    """A picture's cells with new pixels, whose place is that of the old ones times `scale`, and then moved: (B, 2), x before y."""
    changed = {**cells.tensors, "pixels": pixels}
    if "affine" in cells:
        there = cells["affine"] * scale[:, :, None]
        there[:, :, 2] += move
        changed["affine"] = there
    return Cells(changed, cells.present)
