"""Speech from text: mel bands of all frames at once, with durations that are found while training, and a vocoder.

Kim et al.: Glow-TTS, 2020 (https://arxiv.org/abs/2005.11129); Ren et al.: FastSpeech, 2019 (https://arxiv.org/abs/1905.09263). What makes
samples of bands is a vocoder (`dapeng.layers.vocoders`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from dapeng.columns.log_mel import FLOOR, filters, sizes, window
from dapeng.core.kinds import VocoderOptions, decoders, vocoders
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.decoders.sounding import SoundingDecoder, SoundingOptions, general
from dapeng.layers.wavenet import WaveNetOptions
from dapeng.nn.features import Features, Widths
from dapeng.nn.mel import frames_in
from dapeng.nn.speech import Speech
from dapeng.nn.vocoder import Bands, Tried, Vocoder

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
        "dropout": 0.0,
    }
    vocoder: Annotated[VocoderOptions, vocoders.choice(default="griffin_lim")] = DEFAULT
    """What makes samples of bands: phases that agree with each other, without learning (griffin_lim); or a network that learns beside."""
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

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, said: Any) -> Any:
        return with_a_vocoder(said) if isinstance(said, dict) else said

    def advice(self, rows: int) -> dict[str, Any]:
        usual = {"learning_rate": 2e-3, "batch_size": 16 if rows < 5_000 else 32}
        return {**usual, **self.vocoder.advice(rows)}

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> SpeechDecoder:
        return SpeechDecoder(column, widths, self)


def with_a_vocoder(said: dict[str, Any]) -> dict[str, Any]:
    """The same options, where those of a WaveNet were written beside its name, as they were before vocoders had options of their own.

    Specs that were written in full then have all of them, whatever the vocoder; one that never read them loses nothing.
    """
    flat = {k: v for k, v in said.items() if k in WaveNetOptions.model_fields}
    vocoder = said.get("vocoder", "griffin_lim")
    if not flat or not isinstance(vocoder, str):
        return said
    others = {k: v for k, v in said.items() if k not in flat}
    if vocoder == "wavenet":
        return {**others, "vocoder": {"type": vocoder, **flat}}
    if vocoder == "griffin_lim" and len(flat) == len(WaveNetOptions.model_fields):
        return {**others, "vocoder": vocoder}
    names = ", ".join(f"{k}: {v}" for k, v in flat.items())
    raise ValueError(
        f"{', '.join(flat)}: options of a WaveNet, and not of {vocoder}; vocoder: {{type: wavenet, {names}}}"
    )


class SpeechDecoder(SoundingDecoder):
    """Reads the tokens of a text, and what all inputs say together."""

    needs: ClassVar[frozenset[str]] = frozenset({"tokens", "pooled"})
    earlier: ClassVar[dict[str, str]] = {"told.": "vocoder.told.", "wavenet.": "vocoder.net."}
    """What weights were called before vocoders were parts of their own."""

    def __init__(self, column: Any, widths: Widths, o: SpeechOptions):
        super().__init__(column)
        self.o = o
        length, self.step, size = sizes(column.rate, o.frame, o.hop)
        weights = filters(column.rate, o.bands, size)
        mean, std = column.normalisation(o.bands)
        bands = Bands(weights, window(length), size, self.step, mean, std, FLOOR, column.rate)
        self.mel = bands.log_mel()
        self.speech = Speech(
            widths.tokens or 1, widths.pooled or 1, o.embed_dim, o.bands, o.kernel, o.dilations, o.dropout
        )
        self.vocoder: Vocoder = o.vocoder.build(bands)
        self.phase = o.vocoder.phase

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
        return self.tried(features, target).misfit

    def tried(self, features: Features, target: Cells) -> Tried:
        """How far off text, durations, bands and samples are (B,), and what the vocoder makes beside the truth.

        It hears true bands in some rows, and in the others such as would be made.
        """
        samples, real = target["samples"], target["mask"]
        frames = frames_in(real, self.step).clamp(min=1)
        bands = self.mel(samples)[:, : max(1, -(-samples.shape[1] // self.step))]
        sung = self.speech.known(*self._read(features), bands, frames)
        if not self.vocoder.learns:
            return Tried(sung.misfit)
        mine = torch.rand(len(samples), 1, 1, device=samples.device) < REAL_SHARE if self.training else False
        bands = torch.where(torch.as_tensor(mine, device=samples.device), bands, sung.bands.detach())
        found = self.vocoder.tried(bands, sung.real, samples, real)
        return found._replace(misfit=sung.misfit + found.misfit)

    def made(self, features: Features, size: int) -> tuple[Tensor, Tensor]:
        most = -(-self.most // self.step)
        bands, frames = self.speech.unknown(*self._read(features), most)
        real = torch.arange(bands.shape[1], device=bands.device) < frames[:, None]
        bands = self.speech.livelier(bands, real) if self.vocoder.lively else bands
        return self.vocoder.made(bands, real) * real.repeat_interleave(self.step, 1), frames * self.step
