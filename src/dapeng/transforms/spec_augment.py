"""Stretches of time and of the spectrum of a sound that are silenced.

Park et al.: SpecAugment, 2019 (https://arxiv.org/abs/1904.08779); on the samples instead of a spectrum, as SpeechBrain (Ravanelli et al.,
2021, https://arxiv.org/abs/2106.04624) drops chunks and frequencies: then any encoder can be trained with it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from dapeng.core.kinds import TransformOptions, transforms
from dapeng.data.batch import Batch
from dapeng.data.draws import uniform
from dapeng.transforms.sounds import with_samples


@transforms
class SpecAugment(TransformOptions):
    """Silence random stretches of time and random bands of frequency.

    Paper: Park et al., 2019, https://arxiv.org/abs/1904.08779
    Example: `inputs: {clip: {type: audio, augment: [{type: spec_augment, times: 2, bands: 2}]}}`
    """

    type: Literal["spec_augment"] = "spec_augment"
    fits: ClassVar[tuple[str, ...]] = ("audio",)
    times: int = Field(2, ge=0, le=100)
    """Stretches of time."""
    time: float = Field(0.1, gt=0, le=1)
    """Longest stretch, as a share of the sound."""
    bands: int = Field(2, ge=0, le=100)
    """Bands of frequency."""
    band: float = Field(0.15, gt=0, le=1)
    """Widest band, as a share of the mel scale."""

    def build(self, column: Any) -> MaskedSounds:
        return MaskedSounds(self, column.rate)


class MaskedSounds:
    """samples (B, T) -> the same, with stretches and bands of zeros."""

    def __init__(self, o: SpecAugment, rate: int):
        self.o, self.rate = o, rate

    def __call__(self, batch: Batch, name: str, draw: tuple[int, ...]) -> Batch:
        samples, lengths = batch[name]["samples"].float(), batch[name]["mask"].sum(1, keepdim=True)
        o = self.o
        u = torch.from_numpy(uniform(batch.rows.numpy(), 2 * (o.times + o.bands), *draw)).float()
        if o.bands:
            spectrum = torch.fft.rfft(samples)
            hertz = torch.linspace(0, self.rate / 2, spectrum.shape[1])
            mel = torch.log1p(hertz / 700) / torch.log1p(torch.tensor(self.rate / 1400))
            spectrum = spectrum * ~_within(mel.expand(len(samples), -1), u[:, : 2 * o.bands], o.band)
            samples = torch.fft.irfft(spectrum, samples.shape[1])
        if o.times:
            share = torch.arange(samples.shape[1]) / lengths.clamp(min=1)
            samples = samples * ~_within(share, u[:, 2 * o.bands :], o.time)
        return with_samples(batch, name, samples)


def _within(place: Tensor, u: Tensor, widest: float) -> Tensor:
    """(B, N) whether places from 0 to 1 lie in any of the stretches that pairs of draws (B, 2 k) say."""
    inside = torch.zeros(place.shape, dtype=torch.bool)
    for width, start in _pairs(u):
        width = width * widest
        start = start * (1 - width)
        inside |= (place >= start) & (place < start + width)
    return inside


def _pairs(u: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Columns (B, 1) two by two."""
    columns = u.split(1, 1)
    return list(zip(columns[::2], columns[1::2]))
