"""A residual generator without norms, taught by its mirror image in a game that converges."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from dapeng.core.kinds import decoders
from dapeng.decoders.playing import PlayingOptions
from dapeng.nn.players import ResidualCritic, ResidualGenerator


@decoders
class R3GAN(PlayingOptions):
    """Draws pictures by residual blocks; learnt by pairs of real and drawn pictures with penalties on both (R3GAN).

    Paper: Huang et al., 2025, https://arxiv.org/abs/2501.05441
    Example: `outputs: {digit: {type: image, decoder: {type: r3gan, width: 64}}}`
    """

    type: Literal["r3gan"] = "r3gan"
    phase: ClassVar[dict[str, Any]] = {
        "objective": {"type": "adversarial"},
        "optimiser": {"type": "adam", "betas": [0.0, 0.99]},
    }
    width: int = Field(48, ge=1, le=4096)
    """Channels of the finest maps, which have half the picture's size; each coarser size has twice as many, at most four times."""
    levels: int = Field(2, ge=1, le=6)
    """Sizes of maps, each half of the one before."""
    blocks: int = Field(2, ge=1, le=16)
    """Residual blocks at each size."""
    group: int = Field(16, ge=1, le=4096)
    """Channels of a group of the 3 x 3 convolutions."""

    def advice(self, rows: int) -> dict[str, Any]:
        epochs = 400 if rows < 1_000 else 100 if rows < 10_000 else 20 if rows < 100_000 else 4
        return {"epochs": epochs, "batch_size": 32 if rows < 1_000 else 128, "learning_rate": 2e-4, "ema": 0.999}

    def generator(self, shape: tuple[int, int, int], condition: int | None) -> nn.Module:
        return ResidualGenerator(shape, self.noise, condition, self.width, self.levels, self.blocks, self.group)

    def critic(self, shape: tuple[int, int, int], condition: int | None) -> nn.Module:
        return ResidualCritic(shape, condition, self.width, self.levels, self.blocks, self.group)
