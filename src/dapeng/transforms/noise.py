"""Sounds with noise under them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch
from dapeng.data.draws import uniform
from dapeng.transforms.sounds import with_samples


@transforms
class Noise(TransformOptions):
    """Add white noise, so many decibels below the sound: each sound at its own random distance.

    Example: `inputs: {clip: {type: audio, augment: [{type: noise, least: 10, most: 40}]}}`
    """

    type: Literal["noise"] = "noise"
    fits: ClassVar[tuple[str, ...]] = ("audio",)
    least: float = Field(15.0, ge=-20, le=100)
    """Smallest distance in decibels: the loudest noise."""
    most: float = Field(50.0, ge=-20, le=100)
    """Largest distance."""

    def build(self, column: Any) -> NoisySounds:
        return NoisySounds(self.least, self.most)


class NoisySounds:
    """samples (B, T) -> the same with noise at a random ratio of signal to noise."""

    def __init__(self, least: float, most: float):
        self.least, self.most = min(least, most), max(least, most)

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        samples, mask = batch[name]["samples"].float(), batch[name]["mask"]
        u = torch.from_numpy(uniform(batch.rows.numpy(), 1 + samples.shape[1], *draw)).float()
        distance = self.least + (self.most - self.least) * u[:, :1]
        power = samples.square().sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        level = (power * 10 ** (-distance / 10)).sqrt()
        return with_samples(batch, name, samples + level * (2 * u[:, 1:] - 1) * 3**0.5)
