"""All samples at once out of mel bands, taught by critics (HiFi-GAN).

Kong, Kim, Bae, 2020 (https://arxiv.org/abs/2010.05646). The critics belong to the objective (`dapeng.objectives.adversarial_sound`);
what is taught without them is the distance of the mel bands alone.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from dapeng.core.kinds import VocoderOptions, vocoders
from dapeng.nn.hifi_gan import Critics, Generator
from dapeng.nn.mel import FULL_SCALE
from dapeng.nn.speech import pieces
from dapeng.nn.vocoder import Bands, Tried, Vocoder


@vocoders
class Gan(VocoderOptions):
    """Makes all samples at once by transposed convolutions; learnt in a game against critics of periods and of scales.

    Its size here is for 8 kHz and a processor; channels: 512 and width: 32 are about those of the paper.
    Paper: Kong, Kim and Bae, 2020, https://arxiv.org/abs/2010.05646
    Example: `outputs: {clip: {type: audio, decoder: {type: speech, vocoder: {type: gan, channels: 64}}}}`
    """

    type: Literal["gan"] = "gan"
    tiny: ClassVar[dict[str, Any]] = {
        "channels": 8,
        "kernels": [3],
        "dilations": [1],
        "width": 2,
        "periods": [2, 3],
        "scales": 1,
    }
    phase: ClassVar[dict[str, Any]] = {
        "objective": {"type": "adversarial_sound"},
        "optimiser": {"type": "adam", "betas": [0.8, 0.99]},
    }
    channels: int = Field(64, ge=8, le=4096)
    """Channels of frames; each enlargement halves them."""
    kernels: list[int] = Field(default=[3, 5, 7], min_length=1, max_length=16)
    """Samples that each of the blocks side by side looks at; odd."""
    dilations: list[int] = Field(default=[1, 3], min_length=1, max_length=16)
    """How far these are apart, in each layer of a block."""
    width: int = Field(8, ge=1, le=1024)
    """Channels of the critics' first maps; the last ones have eight times as many."""
    periods: list[int] = Field(default=[2, 3, 5, 7, 11], min_length=1, max_length=32)
    """One critic for each looks at every so-manieth sample."""
    scales: int = Field(3, ge=0, le=8)
    """Critics of the samples, of means of two, of four, and so on."""
    piece: float = Field(0.25, gt=0, le=60)
    """Seconds of a sound that it learns from at a time."""

    def advice(self, rows: int) -> dict[str, Any]:
        return {"learning_rate": 1e-3}

    def build(self, bands: Bands) -> GanVocoder:
        return GanVocoder(bands, self)


class GanVocoder(Vocoder):
    """Bands (B, F, M) -> samples; its misfit is the mean distance of its mel bands from the true ones, in their deviations."""

    def __init__(self, bands: Bands, o: Gan):
        super().__init__()
        self.o, self.step, self.piece = o, bands.step, bands.frames(o.piece)
        self.mel = bands.log_mel()
        self.generator = Generator(len(bands.mean), bands.step, o.channels, o.kernels, o.dilations)

    def critic(self) -> Critics:
        """New critics of its samples; they are no part of it."""
        return Critics(self.o.periods, self.o.scales, self.o.width)

    def tried(self, bands: Tensor, heard: Tensor, samples: Tensor, real: Tensor) -> Tried:
        told = bands * heard[..., None]
        some, counted, told = pieces(samples, real, heard.sum(1), told, self.step, self.piece, self.training)
        made = self.generator(told) * counted
        true = some * counted / FULL_SCALE
        apart = (self.mel(made * FULL_SCALE) - self.mel(true * FULL_SCALE)).abs()
        return Tried(apart.mean((1, 2)), made, true)

    def made(self, bands: Tensor, heard: Tensor) -> Tensor:
        return self.generator(bands * heard[..., None]) * (FULL_SCALE - 1)
