"""Sounds in which nobody speaks: what a recogniser must have heard, or it invents words for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform
from dapeng.transforms.sounds import with_samples

LOUDEST, SOFTEST = -45.0, -95.0
"""Decibels of the noise of a quiet room, below full scale; softer than one bit is no noise at all."""


@transforms
class Silence(TransformOptions):
    """Now and then put the noise of an empty room in the place of a sound, and no text in the place of its transcript.

    Outputs that are no transcripts, or have no blank, are left alone, and then their sounds are too.
    Example: `inputs: {clip: {type: audio, augment: [{type: silence, share: 0.05}]}}`
    """

    type: Literal["silence"] = "silence"
    fits: ClassVar[tuple[str, ...]] = ("audio",)
    share: float = Field(0.05, gt=0, lt=1)
    """Of the rows that train."""

    def build(self, column: Any) -> EmptyRooms:
        return EmptyRooms(self.share, {})

    def with_outputs(self, built: Any, outputs: Mapping[str, Any]) -> Any:
        texts = {n: c.codec.eos for n, c in outputs.items() if getattr(c.options.decoder, "empty", False)}
        return EmptyRooms(self.share, texts) if texts and len(texts) == len(outputs) else _unchanged


class EmptyRooms:
    """samples (B, T) -> the same, or noise. texts: by output, the token that ends a text."""

    def __init__(self, share: float, texts: Mapping[str, int]):
        self.share, self.texts = share, texts

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        samples = batch[name]["samples"].float()
        u = torch.from_numpy(uniform(batch.rows.numpy(), 2 + samples.shape[1], *draw)).float()
        empty = u[:, :1] < self.share
        level = 32768 * 10 ** ((SOFTEST + (LOUDEST - SOFTEST) * u[:, 1:2]) / 20)
        room = level * (2 * u[:, 2:] - 1) * 3**0.5
        changed = with_samples(batch, name, torch.where(empty, room, samples))
        return changed.replace({n: _emptied(batch[n], empty, end) for n, end in self.texts.items() if n in batch})


def _emptied(cells: Cells, empty: Tensor, end: int) -> Cells:
    """Texts of some rows (B, 1) become their begin and their end."""
    at = torch.arange(cells["ids"].shape[1])
    ids = torch.where(empty & (at == 1), torch.full_like(cells["ids"], end), cells["ids"])
    mask = torch.where(empty, at < 2, cells["mask"])
    return Cells({**cells.tensors, "ids": torch.where(mask, ids, 0), "mask": mask}, cells.present)


def _unchanged(batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
    return batch
