"""Texts by the blocks of GPT-2: learned positions, layer norms, plain perceptrons.

Radford et al.: Language Models are Unsupervised Multitask Learners, 2019.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dapeng.core.kinds import decoders
from dapeng.decoders.writing import WritingOptions
from dapeng.nn.causal import Shape


@decoders
class GPT(WritingOptions):
    """Writes token by token: learned positions, layer norms, GELU.

    Paper: Radford et al., 2019, https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
    Example: `outputs: {story: {type: text, decoder: {type: gpt, embed_dim: 384, num_layers: 6, num_heads: 6}}}`
    """

    type: Literal["gpt"] = "gpt"
    width: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Of the perceptron. auto: four times embed_dim."""
    bias: bool = True
    """Linear layers have biases, as in GPT-2."""

    @model_validator(mode="after")
    def _divides(self) -> GPT:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

    def shape(self, cross: int | None, longest: int) -> Shape:
        return Shape(
            width=self.embed_dim, layers=self.num_layers, heads=self.num_heads, kv_heads=self.num_heads,
            head_width=self.embed_dim // self.num_heads, hidden=4 * self.embed_dim if self.width == "auto" else self.width,
            norm="layer", activation="gelu_tanh", gated=False, bias=self.bias, rotary=None, positions=longest,
            dropout=self.dropout, cross=cross,
        )  # fmt: skip
