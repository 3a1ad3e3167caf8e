"""Sounds played faster or slower, which changes their pitch too.

Ko et al.: Audio Augmentation for Speech Recognition, 2015 (https://doi.org/10.21437/Interspeech.2015-711).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch
from dapeng.data.draws import uniform
from dapeng.transforms.sounds import with_samples


@transforms
class Speed(TransformOptions):
    """Play a sound faster or slower by up to a share of its speed.

    Paper: Ko et al., 2015, https://doi.org/10.21437/Interspeech.2015-711
    Example: `inputs: {clip: {type: audio, augment: [{type: speed, share: 0.1}]}}`
    """

    type: Literal["speed"] = "speed"
    fits: ClassVar[tuple[str, ...]] = ("audio",)
    share: float = Field(0.1, gt=0, lt=1)
    """Largest change of the speed."""

    def build(self, column: Any) -> SpedSounds:
        return SpedSounds(self.share)


class SpedSounds:
    """samples (B, T) -> (B, T / (1 - share)): each at its own speed, read between samples on straight lines."""

    def __init__(self, share: float):
        self.share = share

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        samples, lengths = batch[name]["samples"], batch[name]["mask"].sum(1, keepdim=True)
        u = torch.from_numpy(uniform(batch.rows.numpy(), 1, *draw))
        speed = 1 + self.share * (2 * u - 1)
        size = (
            int(samples.shape[1] / (1 - self.share)) + 1
        )  # whatever is drawn, so that rows don't depend on each other
        at = torch.arange(size) * speed
        mask = at <= lengths - 1
        whole = at.long().clamp(max=samples.shape[1] - 1)
        part = (at - whole).float()
        padded = F.pad(samples.float(), (0, 1))
        mixed = padded.gather(1, whole) * (1 - part) + padded.gather(1, whole + 1) * part
        return with_samples(batch, name, mixed, mask)
