"""Large pictures looked at window by window, and answers for their pixels put together again.

Windows overlap, and each counts most in its middle, so that no seam shows (Isensee et al.: nnU-Net, 2021,
https://doi.org/10.1038/s41592-020-01008-z). Sizes are those of the fitted column, so that an export holds the windows too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dapeng.columns.base import Column
from dapeng.data.batch import Batch, Cells

OVERLAP = 0.5
"""Share of a window that the next one covers too, at most."""
Place = tuple[int, int, int, int]
"""top, left, height, width of a window, in pixels as the picture is read."""


@dataclass(frozen=True)
class Windows:
    """name: of the picture. size: side of a window. step: distance of windows."""

    name: str
    size: int

    def places(self, batch: Batch) -> list[Place]:
        """Windows that cover a picture; one where it is no larger than a window."""
        height, width = batch[self.name]["pixels"].shape[2:]
        return [
            (top, left, min(self.size, height), min(self.size, width))
            for top in _starts(height, self.size)
            for left in _starts(width, self.size)
        ]

    def cut(self, batch: Batch, place: Place) -> Batch:
        """The batch with one window of its picture."""
        top, left, height, width = place
        cells = batch[self.name]
        tensors = {**cells.tensors, "pixels": cells["pixels"][:, :, top : top + height, left : left + width]}
        if "affine" in cells:
            move = torch.tensor([[0.0, 0.0, left], [0.0, 0.0, top]], device=cells["affine"].device)
            tensors["affine"] = cells["affine"] - move
        return batch.replace({self.name: Cells(tensors, cells.present)})

    def joined(self, each: Sequence[Tensor], places: Sequence[Place]) -> Tensor:
        """(B, A, Y, X) out of what was said of each window (B, A, height, width): the mean, by how near a window's middle is."""
        high = max(top + height for top, _, height, _ in places)
        wide = max(left + width for _, left, _, width in places)
        total = each[0].new_zeros(*each[0].shape[:2], high, wide)
        weights = each[0].new_zeros(1, 1, high, wide)
        for said, (top, left, height, width) in zip(each, places):
            weight = _tent(height, said)[:, None] * _tent(width, said)
            around = (left, wide - left - width, top, high - top - height)
            total = total + torch.nn.functional.pad(said * weight, around)
            weights = weights + torch.nn.functional.pad(weight[None, None], around)
        return total / weights


def _starts(length: int, size: int) -> list[int]:
    """Where windows begin, alike far from each other; the last one ends at the border."""
    if length <= size:
        return [0]
    count = -(-(length - size) // max(1, round(size * (1 - OVERLAP)))) + 1
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


def _tent(length: int, like: Tensor) -> Tensor:
    """(length,) 1 in the middle, falling to nearly 0 at both ends."""
    at = torch.arange(length, device=like.device, dtype=like.dtype)
    return 1 - ((at + 0.5) / length * 2 - 1).abs() * 0.98


def windows_of(inputs: Mapping[str, Column]) -> Windows | None:
    """The windows that a picture among the inputs asks for."""
    for name, column in inputs.items():
        size = getattr(column.options, "window", None)
        if size is not None:
            return Windows(name, size)
    return None


def by_windows(
    windows: Windows, batch: Batch, answer: Callable[[Batch], dict[str, dict[str, Tensor]]]
) -> dict[str, dict[str, Tensor]]:
    """Predictions of a batch, window by window; of what is said pixel by pixel the whole, of all else the first window's."""
    places = windows.places(batch)
    found = [answer(windows.cut(batch, p)) for p in places]
    out = {}
    for name, first in found[0].items():
        joined = {"probabilities": windows.joined([f[name]["probabilities"] for f in found], places)}
        out[name] = {**first, **joined, "affine": batch[windows.name]["affine"]}
    return out
