"""Sounds sample by sample, from what the inputs say, or from nothing.

van den Oord et al.: WaveNet, 2016 (https://arxiv.org/abs/1609.03499). Beside what the inputs say, the network is told where in the sound
it is: how long that is, is learnt too. Where it goes along with a sound that is heard, it is told what is heard at that time (as a vocoder is
told mel bands: Shen et al.: Tacotron 2, 2018, https://arxiv.org/abs/1712.05884), and lasts as long.

Legend: B rows, T samples, F stretches of samples, S tokens, K width of what is told.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import decoders
from dapeng.data.batch import Cells
from dapeng.decoders.sounding import SoundingDecoder, SoundingOptions, general
from dapeng.layers.wavenet import WaveNetOptions
from dapeng.nn.features import Features, Widths
from dapeng.nn.speech import Conditions, pieces

STEP = 64
"""Samples for which what is told stays the same."""
BEHIND = 3
"""Tokens behind the last one, the last of which sees none that is real."""
WAVES = 8
"""Waves that say where in the sound a sample lies."""


@decoders
class WavenetOptions(SoundingOptions, WaveNetOptions):
    """Makes a sound sample by sample, of a class or any other inputs, or of none; of a spectrum, where that of a sound is the input.

    Paper: van den Oord et al., 2016, https://arxiv.org/abs/1609.03499
    Example: `outputs: {clip: {type: audio, decoder: {type: wavenet, channels: 64, cycles: 3, depth: 10}}}`
    """

    type: Literal["wavenet"] = "wavenet"
    alone: ClassVar[bool] = True
    tiny: ClassVar[dict[str, Any]] = {"channels": 8, "skip": 8, "depth": 3}
    depth: int = 10
    follows: bool | Literal["auto"] = "auto"
    """Whether it goes along with a sound that is heard, frame by frame, and lasts as long. auto: where that is the only input."""

    def goes_along(self, column: Any) -> bool:
        return column.type == "audio" and self.follows is not False

    def advice(self, rows: int) -> dict[str, Any]:
        return {"learning_rate": 2e-3, "batch_size": 16}

    def build(self, column: Any, widths: Widths | None, tables: Any, loss: Any) -> WavenetDecoder:
        return WavenetDecoder(column, widths, self)


class WavenetDecoder(SoundingDecoder):
    """Reads what all inputs say together."""

    def __init__(self, column: Any, widths: Widths | None, o: WavenetOptions):
        super().__init__(column)
        self.o = o
        self.follows = widths is not None and bool(widths.seconds and widths.tokens) and o.follows is not False
        if o.follows is True and not self.follows:
            hint = "inputs: {heard: {type: audio, encoder: spectrogram}}, or follows: false"
            raise SpecError(Problem("decoder.follows", "no sound, as the only input, is there to go along with", hint))
        self.every = (widths.seconds if self.follows and widths is not None else 0.0) * column.rate or float(STEP)
        """Samples that a token stands for."""
        self.step = max(1, round(self.every))
        self.usual = math.log(max(1.0, column.state["median"] * column.rate))
        self.lasts = nn.Linear(widths.pooled or 1, 1) if widths is not None and not self.follows else None
        width = 2 * o.channels
        self.general = nn.Linear(widths.pooled or 1, width) if widths is not None else None
        self.heard = Conditions(widths.tokens or 1, width) if widths is not None and self.follows else None
        self.places = nn.Linear(2 * WAVES + 1, width)
        self.net = o.wavenet(width)
        self.piece = max(1, round(o.piece * column.rate / self.step))

    def _told(self, features: Features | None, lengths: Tensor, most: int) -> Tensor:
        """(B, F, K) of each stretch of samples, in sounds of such lengths (B,)."""
        at = (torch.arange(most, device=lengths.device) + 0.5) * self.step
        share = (at / lengths[:, None].clamp(min=1)).clamp(max=1)[..., None]
        waves = share * torch.arange(1, WAVES + 1, device=lengths.device) * torch.pi
        seconds = (at.log() - self.usual).expand(len(lengths), -1)[..., None]
        told = self.places(torch.cat([waves.sin(), waves.cos(), seconds], 2))
        if self.general is not None:
            told = told + self.general(general(features))[:, None]
        if self.heard is not None and features is not None:
            told = told + self._heard(features, at)
        return torch.tanh(told)

    def _heard(self, features: Features, at: Tensor) -> Tensor:
        """(B, F, K) of what is heard around samples `at` (F,)."""
        assert self.heard is not None
        tokens, mask = _tokens(features)
        tokens, mask = F.pad(tokens, (0, 0, 0, BEHIND)), F.pad(mask, (0, BEHIND))  # silence, however long others are
        token = (at / self.every).long().clamp(max=tokens.shape[1] - 1)
        return self.heard(tokens, mask)[:, token]

    def _lengths(self, features: Features | None, size: int) -> Tensor:
        """(B,) samples, not rounded."""
        if self.lasts is not None:
            return (self.lasts(general(features))[:, 0].float() + self.usual).exp()
        if self.heard is not None and features is not None:
            return _tokens(features)[1].sum(1) * self.every
        return torch.full((size,), math.exp(self.usual), device=self.places.weight.device)

    def misfit(self, features: Features | None, target: Cells) -> Tensor:
        samples, real = target["samples"], target["mask"]
        lengths = real.sum(1)
        told = self._told(features, lengths.float(), -(-samples.shape[1] // self.step))
        frames = -(-lengths // self.step)
        some, counted, told = pieces(samples, real, frames, told, self.step, self.piece, self.training)
        nats = self.net.nats(some, told.repeat_interleave(self.step, 1))
        nats = (nats * counted).sum(1) / counted.sum(1).clamp(min=1)
        if self.lasts is None:
            return nats
        off = self.lasts(general(features))[:, 0].float() + self.usual - lengths.clamp(min=1).float().log()
        return nats + off.square()

    def made(self, features: Features | None, size: int) -> tuple[Tensor, Tensor]:
        lengths = self._lengths(features, size).round().clamp(1, self.most)
        most = int(lengths.max())
        told = self._told(features, lengths, -(-most // self.step)).repeat_interleave(self.step, 1)[:, :most]
        samples = self.o.drawn(self.net, told, size, most)
        return samples * (torch.arange(most, device=lengths.device) < lengths[:, None]), lengths


def _tokens(features: Features) -> tuple[Tensor, Tensor]:
    """(B, S, D), and which are of what is heard (B, S)."""
    assert features.tokens is not None
    every = torch.ones_like(features.tokens[:, :, 0], dtype=torch.bool)
    mask = every if features.mask is None else features.mask
    return features.tokens, mask if features.present is None else mask & features.present[:, None]
