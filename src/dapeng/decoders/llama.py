"""Texts by the blocks of Llama: rotary positions, RMS norms, gated perceptrons.

Touvron et al.: LLaMA, 2023 (https://arxiv.org/abs/2302.13971).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from dapeng.core.kinds import decoders
from dapeng.decoders.public import PublicWriting
from dapeng.nn.causal import Shape
from dapeng.public.families import llama


@decoders
class Llama(PublicWriting):
    """Writes token by token: rotary positions, RMS norms, gated perceptrons, grouped-query attention; experts where asked.

    Paper: Touvron et al., 2023, https://arxiv.org/abs/2302.13971
    Example: `outputs: {story: {type: text, decoder: {type: llama, embed_dim: 384, num_layers: 6, num_heads: 6}}}`
    """

    type: Literal["llama"] = "llama"
    family: ClassVar[Any] = llama
    kv_heads: int | None = Field(None, ge=1, le=1024)
    """Heads of keys and values, each shared by several (Ainslie et al., 2023). auto: as many as heads."""
    width: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Of the perceptron. auto: eight thirds of embed_dim, a multiple of 32; four times without a gate."""
    activation: Literal["silu", "gelu", "gelu_tanh", "relu", "squared_relu"] = "silu"
    """Of the perceptron."""
    gated: bool = True
    """The perceptron has a gate beside what it lets through (Shazeer, 2020)."""
    head_width: int | Literal["auto"] = Field("auto", ge=2, le=65_536)
    """Of an attention head. auto: embed_dim / num_heads."""
    qkv_bias: bool = False
    """Queries, keys and values have biases, as in Qwen2."""
    qk_norm: bool = False
    """Queries and keys are normalised, as in Qwen3."""
    rotary_base: float = Field(10_000.0, gt=1)
    """Of rotary positions; higher for long texts."""
    eps: float = Field(1e-5, gt=0, lt=1)
    """Of the RMS norms."""
    tie: bool = True
    """The table of tokens is the head too."""
    experts: int = Field(0, ge=0, le=1024)
    """Perceptrons of a block of which each token is read by `active_experts` (Mixtral); 0: one for all."""
    active_experts: int = Field(2, ge=1, le=1024)

    @model_validator(mode="after")
    def _fits(self) -> Llama:
        if self.head_width != "auto" and self.head_width % 2:
            raise ValueError(f"head_width {self.head_width} is odd: rotary positions turn pairs")
        if self.head_width == "auto" and (self.embed_dim % self.num_heads or self.embed_dim // self.num_heads % 2):
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim} into even heads")
        if self.kv_heads is not None and self.num_heads % self.kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} does not divide num_heads {self.num_heads}")
        if self.experts and self.active_experts > self.experts:
            raise ValueError(f"active_experts {self.active_experts} is more than experts {self.experts}")
        return self

    def shape(self, cross: int | None, longest: int) -> Shape:
        auto = -(-8 * self.embed_dim // 96) * 32 if self.gated else 4 * self.embed_dim
        hidden = auto if self.width == "auto" else self.width
        return Shape(
            width=self.embed_dim, layers=self.num_layers, heads=self.num_heads, kv_heads=self.kv_heads or self.num_heads,
            head_width=self.embed_dim // self.num_heads if self.head_width == "auto" else self.head_width,
            hidden=hidden, eps=self.eps, qkv_bias=self.qkv_bias, activation=self.activation, gated=self.gated,
            qk_norm=self.qk_norm, rotary=self.rotary_base, dropout=self.dropout, attention_dropout=self.in_attention,
            experts=self.experts, active=self.active_experts, cross=cross,
        )  # fmt: skip

    def architecture(self, shape: Shape, tied: bool) -> dict[str, Any]:
        mixed = {"experts": shape.experts, "active_experts": shape.active} if shape.experts else {"experts": 0}
        return {
            "embed_dim": shape.width, "num_layers": shape.layers, "num_heads": shape.heads, "kv_heads": shape.kv_heads,
            "head_width": shape.head_width, "width": shape.hidden, "activation": shape.activation, "gated": shape.gated,
            "qkv_bias": shape.qkv_bias, "qk_norm": shape.qk_norm, "rotary_base": shape.rotary, "eps": shape.eps,
            "tie": tied, **mixed,
        }  # fmt: skip

    def tied(self) -> bool:
        return self.tie
