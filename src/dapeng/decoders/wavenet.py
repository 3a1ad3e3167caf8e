"""Sounds sample by sample, from what the inputs say, or from nothing.

van den Oord et al.: WaveNet, 2016 (https://arxiv.org/abs/1609.03499). Beside what the inputs say, the network is told where in the sound
it is: how long that is, is learnt too.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from dapeng.core.kinds import decoders
from dapeng.data.batch import Cells
from dapeng.decoders.sounding import SoundingDecoder, SoundingOptions, general
from dapeng.layers.wavenet import WaveNetOptions
from dapeng.nn.features import Features, Widths
from dapeng.nn.speech import pieces

STEP = 64
"""Samples for which what is told stays the same."""
WAVES = 8
"""Waves that say where in the sound a sample lies."""


@decoders
class WavenetOptions(SoundingOptions, WaveNetOptions):
    """Makes a sound sample by sample, of a class or any other inputs, or of none.

    Paper: van den Oord et al., 2016, https://arxiv.org/abs/1609.03499
    Example: `outputs: {clip: {type: audio, decoder: {type: wavenet, channels: 64, cycles: 3, depth: 10}}}`
    """

    type: Literal["wavenet"] = "wavenet"
    alone: ClassVar[bool] = True
    tiny: ClassVar[dict[str, Any]] = {"channels": 8, "skip": 8, "depth": 3}
    depth: int = 10

    def advice(self, rows: int) -> dict[str, Any]:
        return {"learning_rate": 2e-3, "batch_size": 16}

    def build(self, column: Any, widths: Widths | None, tables: Any, loss: Any) -> WavenetDecoder:
        return WavenetDecoder(column, widths, self)


class WavenetDecoder(SoundingDecoder):
    """Reads what all inputs say together."""

    def __init__(self, column: Any, widths: Widths | None, o: WavenetOptions):
        super().__init__(column)
        self.o = o
        self.usual = math.log(max(1.0, column.state["median"] * column.rate))
        self.lasts = nn.Linear(widths.pooled or 1, 1) if widths is not None else None
        width = 2 * o.channels
        self.general = nn.Linear(widths.pooled or 1, width) if widths is not None else None
        self.places = nn.Linear(2 * WAVES + 1, width)
        self.net = o.wavenet(width)
        self.piece = max(1, round(o.piece * column.rate / STEP))

    def _told(self, features: Features | None, lengths: Tensor, most: int) -> Tensor:
        """(B, F, K) of each stretch of samples, in sounds of such lengths (B,)."""
        at = (torch.arange(most, device=lengths.device) + 0.5) * STEP
        share = (at / lengths[:, None].clamp(min=1)).clamp(max=1)[..., None]
        waves = share * torch.arange(1, WAVES + 1, device=lengths.device) * torch.pi
        seconds = (at.log() - self.usual).expand(len(lengths), -1)[..., None]
        told = self.places(torch.cat([waves.sin(), waves.cos(), seconds], 2))
        if self.general is not None:
            told = told + self.general(general(features))[:, None]
        return torch.tanh(told)

    def misfit(self, features: Features | None, target: Cells) -> Tensor:
        samples, real = target["samples"], target["mask"]
        lengths = real.sum(1)
        told = self._told(features, lengths.float(), -(-samples.shape[1] // STEP))
        frames = -(-lengths // STEP)
        some, counted, told = pieces(samples, real, frames, told, STEP, self.piece, self.training)
        nats = (self.net.nats(some, told.repeat_interleave(STEP, 1)) * counted).sum(1) / counted.sum(1).clamp(min=1)
        if self.lasts is None:
            return nats
        off = self.lasts(general(features))[:, 0].float() + self.usual - lengths.clamp(min=1).float().log()
        return nats + off.square()

    def made(self, features: Features | None, size: int) -> tuple[Tensor, Tensor]:
        if self.lasts is None:
            lengths = torch.full((size,), math.exp(self.usual), device=self.places.weight.device)
        else:
            lengths = (self.lasts(general(features))[:, 0].float() + self.usual).exp()
        lengths = lengths.round().clamp(1, self.most)
        most = int(lengths.max())
        told = self._told(features, lengths, -(-most // STEP)).repeat_interleave(STEP, 1)[:, :most]
        samples = self.o.drawn(self.net, told, size, most)
        return samples * (torch.arange(most, device=lengths.device) < lengths[:, None]), lengths
