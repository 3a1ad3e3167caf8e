"""The options of a WaveNet, for whatever holds one.

van den Oord et al.: WaveNet, 2016 (https://arxiv.org/abs/1609.03499).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from dapeng.core.registry import Options
from dapeng.nn.sample_values import SAYS
from dapeng.nn.wavenet import WaveNet, by_parts


class WaveNetOptions(Options):
    """A network that says each sample of a sound from those before it."""

    channels: int = Field(48, ge=2, le=4096)
    """Channels of its layers."""
    skip: int = Field(96, ge=2, le=4096)
    """Channels of what its layers give to its end."""
    cycles: int = Field(2, ge=1, le=64)
    """How often its dilations 1, 2, 4, ... begin anew."""
    depth: int = Field(7, ge=1, le=16)
    """Layers of a cycle: the last one looks 2^(depth - 1) samples back."""
    says: Literal["mulaw", "mixture"] = "mulaw"
    """What it gives for a sample: 256 levels of mu-law, or a mixture of logistic distributions."""
    temperature: float = Field(1.0, ge=0, le=10)
    """How freely samples are drawn; 0: the likeliest ones."""
    seed: int = Field(0, ge=0)
    """Of what is drawn: the same seed makes the same sound."""
    piece: float = Field(0.2, gt=0, le=60)
    """Seconds of a sound that it learns from at a time."""

    def wavenet(self, condition: int) -> WaveNet:
        """The network, told a vector of this width with each sample."""
        dilations = [2**i for i in range(self.depth)] * self.cycles
        return WaveNet(SAYS[self.says](), self.channels, self.skip, condition, dilations)

    def drawn(self, net: WaveNet, told: Tensor | None, rows: int, length: int) -> Tensor:
        """(B, T) 16-bit values. told: (B, T, K)."""
        return by_parts(net, told, rows, length, self.seed, self.temperature)
