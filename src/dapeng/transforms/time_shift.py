"""Sounds that begin later, or whose beginning or end is cut off."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch
from dapeng.data.draws import uniform
from dapeng.transforms.sounds import with_samples


@transforms
class TimeShift(TransformOptions):
    """Move a sound within its length by up to so many seconds; silence follows it, and what is pushed beyond an end is lost.

    Example: `inputs: {clip: {type: audio, augment: [{type: time_shift, seconds: 0.05}]}}`
    """

    type: Literal["time_shift"] = "time_shift"
    fits: ClassVar[tuple[str, ...]] = ("audio",)
    seconds: float = Field(0.05, gt=0, le=60)
    """Largest move."""
    share: float = Field(0.1, gt=0, le=1)
    """Largest move as a share of a sound's length."""

    def build(self, column: Any) -> ShiftSounds:
        return ShiftSounds(self.seconds * column.rate, self.share)


class ShiftSounds:
    """samples (B, T) -> the same, each moved by its own whole samples."""

    def __init__(self, most: float, share: float):
        self.most, self.share = most, share

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        samples, lengths = batch[name]["samples"], batch[name]["mask"].sum(1)
        u = torch.from_numpy(uniform(batch.rows.numpy(), 1, *draw)[:, 0]).float()
        far = (self.share * lengths).clamp(max=self.most)
        move = ((2 * u - 1) * far).round().long()
        at = torch.arange(samples.shape[1]) - move[:, None]
        there = (at >= 0) & (at < lengths[:, None])
        return with_samples(batch, name, samples.gather(1, at.clamp(0, samples.shape[1] - 1)).float() * there)
