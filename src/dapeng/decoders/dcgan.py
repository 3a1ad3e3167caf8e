"""A convolutional generator, taught by a convolutional critic."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from dapeng.core.kinds import decoders
from dapeng.decoders.playing import PlayingOptions
from dapeng.nn.players import ConvolutionalCritic, ConvolutionalGenerator


@decoders
class DCGAN(PlayingOptions):
    """Draws pictures by transposed convolutions with batch norms; learnt in a game against a critic (DCGAN).

    Paper: Radford, Metz and Chintala, 2015, https://arxiv.org/abs/1511.06434
    Example: `outputs: {digit: {type: image, decoder: dcgan}}`
    """

    type: Literal["dcgan"] = "dcgan"
    phase: ClassVar[dict[str, Any]] = {
        "objective": {"type": "adversarial", "game": "classic", "real_penalty": 0.0, "drawn_penalty": 0.0},
        "optimiser": {"type": "adam", "betas": [0.5, 0.999]},
    }
    width: int = Field(64, ge=1, le=4096)
    """Channels of the finest maps; each coarser size has twice as many."""
    levels: int = Field(2, ge=1, le=6)
    """How often maps are doubled from noise to picture."""

    def advice(self, rows: int) -> dict[str, Any]:
        epochs = 400 if rows < 1_000 else 100 if rows < 10_000 else 20 if rows < 100_000 else 4
        return {"epochs": epochs, "batch_size": 32 if rows < 1_000 else 128, "learning_rate": 2e-4, "ema": 0.999}

    def generator(self, shape: tuple[int, int, int], condition: int | None) -> nn.Module:
        return ConvolutionalGenerator(shape, self.noise, condition, self.width, self.levels)

    def critic(self, shape: tuple[int, int, int], condition: int | None) -> nn.Module:
        return ConvolutionalCritic(shape, condition, self.width, self.levels)
