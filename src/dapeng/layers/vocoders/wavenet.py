"""A WaveNet that is told mel bands: Shen et al.: Tacotron 2, 2018 (https://arxiv.org/abs/1712.05884)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from dapeng.core.kinds import VocoderOptions, vocoders
from dapeng.layers.wavenet import WaveNetOptions
from dapeng.nn.speech import Conditions, pieces
from dapeng.nn.vocoder import Bands, Tried, Vocoder


@vocoders
class WavenetVocoderOptions(VocoderOptions, WaveNetOptions):
    """Makes samples of mel bands one by one; learnt beside what says the bands.

    Paper: Shen et al., 2018, https://arxiv.org/abs/1712.05884
    Example: `outputs: {clip: {type: audio, decoder: {type: speech, vocoder: {type: wavenet, channels: 32}}}}`
    """

    type: Literal["wavenet"] = "wavenet"
    tiny: ClassVar[dict[str, Any]] = {"channels": 8, "skip": 8, "depth": 3}

    def build(self, bands: Bands) -> WavenetVocoder:
        return WavenetVocoder(bands, self)


class WavenetVocoder(Vocoder):
    """Bands (B, F, M) -> samples, drawn sample by sample; its misfit is in nats a sample."""

    def __init__(self, bands: Bands, o: WavenetVocoderOptions):
        super().__init__()
        self.o, self.step, self.piece = o, bands.step, bands.frames(o.piece)
        self.told = Conditions(len(bands.mean), 2 * o.channels)
        self.net = o.wavenet(2 * o.channels)

    def tried(self, bands: Tensor, heard: Tensor, samples: Tensor, real: Tensor) -> Tried:
        told = self.told(bands, heard)
        some, counted, told = pieces(samples, real, heard.sum(1), told, self.step, self.piece, self.training)
        nats = self.net.nats(some, told.repeat_interleave(self.step, 1))
        return Tried((nats * counted).sum(1) / counted.sum(1).clamp(min=1))

    def made(self, bands: Tensor, heard: Tensor) -> Tensor:
        told = self.told(bands, heard).repeat_interleave(self.step, 1)
        return self.o.drawn(self.net, told, len(bands), told.shape[1])
