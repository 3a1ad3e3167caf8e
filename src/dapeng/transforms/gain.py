"""Sounds made louder or softer."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch
from dapeng.data.draws import uniform
from dapeng.transforms.sounds import with_samples


@transforms
class Gain(TransformOptions):
    """Make a sound louder or softer by up to so many decibels; what would go beyond full scale is cut.

    Example: `inputs: {clip: {type: audio, augment: [{type: gain, decibels: 6}]}}`
    """

    type: Literal["gain"] = "gain"
    fits: ClassVar[tuple[str, ...]] = ("audio",)
    decibels: float = Field(6.0, gt=0, le=60)
    """Largest change; uniform in decibels."""

    def build(self, column: Any) -> GainSounds:
        return GainSounds(self.decibels)


class GainSounds:
    """samples (B, T) -> the same, each times its own factor."""

    def __init__(self, decibels: float):
        self.decibels = decibels

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        u = torch.from_numpy(uniform(batch.rows.numpy(), 1, *draw)).float()
        factor = 10 ** (self.decibels / 20 * (2 * u - 1))
        return with_samples(batch, name, batch[name]["samples"].float() * factor)
