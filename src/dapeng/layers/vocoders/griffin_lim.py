"""Phases that agree with each other, without learning."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from dapeng.core.kinds import VocoderOptions, vocoders
from dapeng.nn.griffin_lim import griffin_lim, spectrum
from dapeng.nn.mel import FULL_SCALE
from dapeng.nn.vocoder import Bands, Vocoder


@vocoders
class GriffinLim(VocoderOptions):
    """Samples whose spectrum has these bands, found round by round (fast Griffin-Lim); nothing is learnt.

    Paper: Griffin and Lim, 1984; Perraudin et al.: A Fast Griffin-Lim Algorithm, 2013
    Example: `outputs: {clip: {type: audio, decoder: {type: speech, vocoder: griffin_lim}}}`
    """

    type: Literal["griffin_lim"] = "griffin_lim"

    def build(self, bands: Bands) -> GriffinLimVocoder:
        return GriffinLimVocoder(bands)


class GriffinLimVocoder(Vocoder):
    """Bands (B, F, M) -> samples, by `dapeng.nn.griffin_lim`."""

    learns: ClassVar[bool] = False
    lively: ClassVar[bool] = True
    weights: Tensor
    hann: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, bands: Bands):
        super().__init__()
        self.step, self.floor = bands.step, bands.floor
        buffers: dict[str, Any] = {
            "weights": bands.filters,
            "hann": bands.window,
            "mean": bands.mean,
            "std": bands.std,
        }
        for name, value in buffers.items():
            self.register_buffer(name, torch.tensor(np.asarray(value), dtype=torch.float32), persistent=False)

    def made(self, bands: Tensor, heard: Tensor) -> Tensor:
        power = (torch.exp(bands * self.std + self.mean) - self.floor).clamp(min=0) * heard[..., None]
        return griffin_lim(spectrum(power, self.weights), self.hann, self.step) * FULL_SCALE
