"""Adapters on an encoder that begins from public weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dapeng.core.registry import Options
from dapeng.encoders.base import Encoder
from dapeng.nn.lora import add_adapters

LAYERS = ("q", "k", "v", "out", "up", "down")


class EncoderLora(Options):
    """Low-rank adapters: of public weights nothing else is trained. Hu et al., 2021, https://arxiv.org/abs/2106.09685"""

    rank: int = Field(8, ge=1, le=4096)
    alpha: float = Field(16.0, gt=0, le=100_000)
    """What adapters say is multiplied by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """On what adapters read."""
    on: list[Literal["q", "k", "v", "out", "up", "down"]] | Literal["all"] = Field(["q", "v"], min_length=1)
    """Layers that get one: query, key, value and output of attention; both layers of the perceptron."""


def adapt(encoder: Encoder, lora: EncoderLora) -> None:
    """Leave what public weights fill as it is, and add adapters. Raises ValueError where there is no such layer."""
    for level in encoder.levels():
        level.requires_grad_(False)
    on = LAYERS if lora.on == "all" else tuple(dict.fromkeys(lora.on))
    width = encoder.widths.tokens or encoder.widths.pooled or 0
    add_adapters(encoder, on, {"qkv": [width] * 3}, lora.rank, lora.alpha, lora.dropout)
