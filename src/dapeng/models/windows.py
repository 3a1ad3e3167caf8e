"""Large pictures looked at window by window, and answers for their pixels put together again.

Windows overlap, and each counts most in its middle, so that no seam shows (Isensee et al.: nnU-Net, 2021,
https://doi.org/10.1038/s41592-020-01008-z). Sizes are those of the fitted column, so that an export holds the windows too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dapeng.columns.base import Column
from dapeng.data.batch import Batch, Cells

OVERLAP = 0.5
"""Share of a window that the next one covers too, at most."""
Place = tuple[tuple[int, int], ...]
"""Along each axis, y before x, where a window begins and how long it is, in pixels as the picture is read."""


@dataclass(frozen=True)
class Windows:
    """name: of the picture, or of the volume. size: of windows along z, y and x; one number for windows of a picture, which are square."""

    name: str
    size: int | tuple[int, ...]

    def places(self, batch: Batch) -> list[Place]:
        """Windows that cover a picture; one where it is no larger than a window."""
        shape = batch[self.name]["pixels"].shape[2:]
        sizes = [self.size] * len(shape) if isinstance(self.size, int) else self.size
        along = [[(start, min(size, n)) for start in _starts(n, size)] for n, size in zip(shape, sizes)]
        return list(itertools.product(*along))

    def cut(self, batch: Batch, place: Place) -> Batch:
        """The batch with one window of its picture."""
        cells = batch[self.name]
        part = (slice(None), slice(None), *(slice(start, start + length) for start, length in place))
        tensors = {**cells.tensors, "pixels": cells["pixels"][part]}
        if "affine" in cells:  # x is its first row
            moved = torch.zeros(cells["affine"].shape[1:], device=cells["affine"].device)
            moved[: len(place), -1] = torch.tensor([float(start) for start, _ in reversed(place)])
            tensors["affine"] = cells["affine"] - moved
        return batch.replace({self.name: Cells(tensors, cells.present)})

    def joined(self, each: Sequence[Tensor], places: Sequence[Place]) -> Tensor:
        """(B, A, Y, X) out of what was said of each window (B, A, height, width): the mean, by how near a window's middle is."""
        shape = [max(start + length for start, length in along) for along in zip(*places)]
        total = each[0].new_zeros(*each[0].shape[:2], *shape)
        weights = each[0].new_zeros(1, 1, *shape)
        for said, place in zip(each, places):
            weight = _tent(place[0][1], said)
            for _, length in place[1:]:
                weight = weight[..., None] * _tent(length, said)
            around = [
                b for (start, length), n in zip(reversed(place), reversed(shape)) for b in (start, n - start - length)
            ]
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
            return Windows(name, size if isinstance(size, int) else tuple(size))
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
