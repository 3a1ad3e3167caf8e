"""Speech from text: mel bands of all frames at once, with durations that are found while training, and a vocoder.

Kim et al.: Glow-TTS, 2020 (https://arxiv.org/abs/2005.11129); Ren et al.: FastSpeech, 2019 (https://arxiv.org/abs/1905.09263); a
WaveNet over mel bands: Shen et al.: Tacotron 2, 2018 (https://arxiv.org/abs/1712.05884).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from dapeng.columns.log_mel import FLOOR, filters, sizes, window
from dapeng.core.kinds import decoders
from dapeng.data.batch import Cells
from dapeng.decoders.sounding import SoundingDecoder, SoundingOptions, by_parts, general
from dapeng.nn.features import Features, Widths
from dapeng.nn.griffin_lim import griffin_lim, spectrum
from dapeng.nn.mel import FULL_SCALE, LogMel, frames_in
from dapeng.nn.speech import Conditions, Speech, pieces

REAL_SHARE = 0.5
"""Rows whose vocoder learns from the true bands; the others learn from those that would be made."""


@decoders
class SpeechOptions(SoundingOptions):
    """Speaks a text: how long each of its tokens lasts, the mel bands of all frames at once, and samples by a vocoder.

    Paper: Kim et al., 2020, https://arxiv.org/abs/2005.11129
    Example: `outputs: {clip: {type: audio, decoder: {type: speech, vocoder: wavenet}}}`
    """

    type: Literal["speech"] = "speech"
    needs: ClassVar[frozenset[str]] = frozenset({"tokens", "pooled"})
    tiny: ClassVar[dict[str, Any]] = {
        "embed_dim": 16,
        "dilations": [1, 2],
        "bands": 8,
        "channels": 8,
        "skip": 8,
        "depth": 3,
        "dropout": 0.0,
    }
    vocoder: Literal["griffin_lim", "wavenet"] = "griffin_lim"
    """What makes samples of bands: phases that agree with each other, without learning; or a WaveNet that learns beside."""
    embed_dim: int = Field(192, ge=2, le=65_536)
    """Width of tokens and frames."""
    kernel: int = Field(5, ge=1, le=31)
    """Frames that a layer looks at; odd."""
    dilations: list[int] = Field(default=[1, 2, 4, 8, 1, 2], min_length=1, max_length=64)
    """How far these are apart, in each layer."""
    dropout: float = Field(0.1, ge=0, lt=1)
    bands: int = Field(64, ge=4, le=512)
    """Mel bands."""
    frame: float = Field(0.032, gt=0, le=1)
    """Seconds of a frame."""
    hop: float = Field(0.008, gt=0, le=1)
    """Seconds from one frame to the next."""

    def advice(self, rows: int) -> dict[str, Any]:
        return {"learning_rate": 2e-3, "batch_size": 16 if rows < 5_000 else 32}

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> SpeechDecoder:
        return SpeechDecoder(column, widths, self)


class SpeechDecoder(SoundingDecoder):
    """Reads the tokens of a text, and what all inputs say together."""

    needs: ClassVar[frozenset[str]] = frozenset({"tokens", "pooled"})
    weights: Tensor
    hann: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, column: Any, widths: Widths, o: SpeechOptions):
        super().__init__(column)
        self.o = o
        length, self.step, size = sizes(column.rate, o.frame, o.hop)
        mean, std = column.normalisation(o.bands)
        weights = filters(column.rate, o.bands, size)
        self.mel = LogMel(weights, window(length), size, self.step, mean, std, FLOOR)
        for name, value in {"weights": weights, "hann": window(length), "mean": mean, "std": std}.items():
            self.register_buffer(name, torch.tensor(np.asarray(value), dtype=torch.float32), persistent=False)
        self.speech = Speech(
            widths.tokens or 1, widths.pooled or 1, o.embed_dim, o.bands, o.kernel, o.dilations, o.dropout
        )
        vocodes = o.vocoder == "wavenet"
        self.told = Conditions(o.bands, 2 * o.channels) if vocodes else None
        self.wavenet = o.wavenet(2 * o.channels) if vocodes else None
        self.piece = max(1, round(o.piece / o.hop))

    def _read(self, features: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, S, C), which are real (of a row without any, the first), and what all inputs say (B, G)."""
        assert features is not None
        assert features.tokens is not None
        mask = torch.ones_like(features.tokens[:, :, 0], dtype=torch.bool) if features.mask is None else features.mask
        mask = mask if features.present is None else mask & features.present[:, None]
        first = torch.zeros_like(mask)
        first[:, 0] = True
        return features.tokens, torch.where(mask.any(1, keepdim=True), mask, first), general(features)

    def misfit(self, features: Features, target: Cells) -> Tensor:
        samples, real = target["samples"], target["mask"]
        frames = frames_in(real, self.step).clamp(min=1)
        bands = self.mel(samples)[:, : max(1, -(-samples.shape[1] // self.step))]
        sung = self.speech.known(*self._read(features), bands, frames)
        if self.wavenet is None or self.told is None:
            return sung.misfit
        return sung.misfit + self._samples_misfit(samples, real, frames, bands, sung)

    def _samples_misfit(self, samples: Tensor, real: Tensor, frames: Tensor, bands: Tensor, sung: Any) -> Tensor:
        """(B,) nats of a sample by the WaveNet, which hears true bands and such as would be made."""
        assert self.wavenet is not None
        assert self.told is not None
        mine = torch.rand(len(samples), 1, 1, device=samples.device) < REAL_SHARE if self.training else False
        bands = torch.where(torch.as_tensor(mine, device=samples.device), bands, sung.bands.detach())
        told = self.told(bands, sung.real)
        some, counted, told = pieces(samples, real, frames, told, self.step, self.piece, self.training)
        nats = self.wavenet.nats(some, told)
        return (nats * counted).sum(1) / counted.sum(1).clamp(min=1)

    def made(self, features: Features, size: int) -> tuple[Tensor, Tensor]:
        most = -(-self.most // self.step)
        bands, frames = self.speech.unknown(*self._read(features), most)
        real = torch.arange(bands.shape[1], device=bands.device) < frames[:, None]
        if self.wavenet is not None and self.told is not None:
            told = self.told(bands, real).repeat_interleave(self.step, 1)
            samples = by_parts(self.wavenet, told, len(bands), told.shape[1], self.o)
        else:
            bands = self.speech.livelier(bands, real)
            power = (torch.exp(bands * self.std + self.mean) - FLOOR).clamp(min=0) * real[..., None]
            samples = griffin_lim(spectrum(power, self.weights), self.hann, self.step) * FULL_SCALE
        heard = real.repeat_interleave(self.step, 1)
        return samples * heard, frames * self.step
