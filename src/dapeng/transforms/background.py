"""Sounds with another sound under them: what a microphone hears where more than one thing sounds.

Speech of one row under that of another, whose answer stays: Chen et al.: WavLM, 2021 (https://arxiv.org/abs/2110.13900), section IV-B.

Legend: B rows, T samples.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch
from dapeng.data.draws import uniform
from dapeng.transforms.sounds import with_samples

FULL_SCALE = 32767.0


@transforms
class Background(TransformOptions):
    """Mix the sound of another row of the batch under a sound, so many decibels softer; the answer stays that of the louder one.

    The other sound begins anywhere in itself, and again where it ends.
    Paper: Chen et al., 2021, https://arxiv.org/abs/2110.13900
    Example: `inputs: {clip: {type: audio, augment: [speed, {type: background, least: 5, most: 20}]}}`
    """

    type: Literal["background"] = "background"
    fits: ClassVar[tuple[str, ...]] = ("audio",)
    mixes: ClassVar[bool] = True
    probability: float = Field(0.5, gt=0, le=1)
    """Share of the rows that get one."""
    least: float = Field(10.0, ge=0, le=100)
    """Smallest distance in decibels between the mean power of both: the loudest background."""
    most: float = Field(30.0, ge=0, le=100)
    """Largest distance."""

    def build(self, column: Any) -> MixedSounds:
        return MixedSounds(self.probability, self.least, self.most)


class MixedSounds:
    """samples (B, T) -> the same with those of another row under them, at a random ratio of signal to background.

    Where both together are louder than full scale, both become softer. A row that is alone, or whose partner is silent, stays as it is.
    """

    def __init__(self, probability: float, least: float, most: float):
        self.probability, self.least, self.most = probability, min(least, most), max(least, most)

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        samples, mask = batch[name]["samples"].float(), batch[name]["mask"]
        u = uniform(batch.rows.numpy(), 4, *draw)
        chosen, start, far = (torch.from_numpy(u[:, k : k + 1]).float() for k in (0, 1, 2))
        partner = next_in_order(u[:, 3])
        under = repeated(samples[partner], mask[partner].sum(1, keepdim=True), start) * mask
        distance = self.least + (self.most - self.least) * far
        level = (_power(samples, mask) / _power(under, mask).clamp(min=1e-9) * 10 ** (-distance / 10)).sqrt()
        mixing = (chosen < self.probability) & under.any(1, keepdim=True) & (partner != torch.arange(len(u)))[:, None]
        both = samples + torch.where(mixing, level, torch.zeros_like(level)) * under
        peak = both.abs().amax(1, keepdim=True).clamp(min=FULL_SCALE)
        return with_samples(batch, name, torch.where(mixing, both * (FULL_SCALE / peak), samples))


def next_in_order(u: np.ndarray) -> Tensor:
    """(B,) of each row the one whose number (B,) is the next smaller; of the smallest one the largest."""
    order = np.argsort(u, kind="stable")
    partner = np.empty(len(u), np.int64)
    partner[order] = np.roll(order, 1)
    return torch.from_numpy(partner)


def repeated(samples: Tensor, lengths: Tensor, start: Tensor) -> Tensor:
    """(B, T) of sounds of these lengths (B, 1), begun at a share (B, 1) of them, and again from their first sample on."""
    real = lengths.clamp(min=1)
    first = (start * real).long().clamp(max=real - 1)
    return samples.gather(1, (first + torch.arange(samples.shape[1])) % real) * (lengths > 0)


def _power(samples: Tensor, mask: Tensor) -> Tensor:
    """(B, 1) mean square of what is of the sound."""
    return samples.square().sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
