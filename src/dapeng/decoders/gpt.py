"""Texts by the blocks of GPT-2: learned positions, layer norms, plain perceptrons.

Radford et al.: Language Models are Unsupervised Multitask Learners, 2019.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import decoders
from dapeng.decoders.public import PublicWriting
from dapeng.decoders.writing import TooLong
from dapeng.nn.causal import Shape
from dapeng.public.families import gpt2

SIZES = {
    "gpt2": (768, 12, 12),
    "gpt2-medium": (1024, 24, 16),
    "gpt2-large": (1280, 36, 20),
    "gpt2-xl": (1600, 48, 25),
    "gpt3-125m": (768, 12, 12),
    "gpt3-350m": (1024, 24, 16),
    "gpt3-760m": (1536, 24, 16),
    "gpt3-1.3b": (2048, 24, 16),
    "gpt3-2.7b": (2560, 32, 32),
    "gpt3-6.7b": (4096, 32, 32),
    "gpt3-13b": (5120, 40, 40),
    "gpt3-175b": (12288, 96, 96),
}
"""embed_dim, num_layers and num_heads of published models. Brown et al.: Language Models are Few-Shot Learners, 2020, table 2.1
(https://arxiv.org/abs/2005.14165), where two rows don't multiply out: of 1.3B, 24 heads of 128 are not 2,048 wide, so 16; of 13B, 5,140 is
no multiple of 40, so 5,120. There every other block attends sparsely; here all attend to everything."""


@decoders
class GPT(PublicWriting):
    """Writes token by token: learned positions, layer norms, GELU.

    Paper: Radford et al., 2019, https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
    Example: `outputs: {story: {type: text, decoder: {type: gpt, embed_dim: 384, num_layers: 6, num_heads: 6}}}`
    """

    type: Literal["gpt"] = "gpt"
    family: ClassVar[Any] = gpt2
    size: (
        Literal[
            "gpt2",
            "gpt2-medium",
            "gpt2-large",
            "gpt2-xl",
            "gpt3-125m",
            "gpt3-350m",
            "gpt3-760m",
            "gpt3-1.3b",
            "gpt3-2.7b",
            "gpt3-6.7b",
            "gpt3-13b",
            "gpt3-175b",
        ]
        | None
    ) = None
    """A published model's embed_dim, num_layers and num_heads, as far as they are not said."""
    width: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Of the perceptron. auto: four times embed_dim."""
    bias: bool = True
    """Linear layers have biases, as in GPT-2."""
    activation: Literal["gelu_tanh", "gelu", "relu"] = "gelu_tanh"
    """Of the perceptron."""
    positions: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Learned positions: no text is longer, in tokens. auto: as many as are learnt from at a time."""
    eps: float = Field(1e-5, gt=0, lt=1)
    """Of the layer norms."""

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, said: Any) -> Any:
        if not isinstance(said, dict) or said.get("size") not in SIZES:
            return said
        named = dict(zip(("embed_dim", "num_layers", "num_heads"), SIZES[said["size"]]))
        return {**named, **said}

    @model_validator(mode="after")
    def _divides(self) -> GPT:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

    def shape(self, cross: int | None, longest: int) -> Shape:
        positions = longest if self.positions == "auto" else self.positions
        if longest > positions:
            raise TooLong(longest, positions)
        return Shape(
            width=self.embed_dim, layers=self.num_layers, heads=self.num_heads, kv_heads=self.num_heads,
            head_width=self.embed_dim // self.num_heads, hidden=4 * self.embed_dim if self.width == "auto" else self.width,
            norm="layer", eps=self.eps, activation=self.activation, gated=False, bias=self.bias, rotary=None,
            positions=positions, dropout=self.dropout, attention_dropout=self.in_attention, cross=cross,
        )  # fmt: skip

    def architecture(self, shape: Shape, tied: bool) -> dict[str, Any]:
        if not tied:
            raise SpecError(Problem("weights", "its head is not the table of tokens", "name another folder"))
        return {
            "embed_dim": shape.width, "num_layers": shape.layers, "num_heads": shape.heads, "width": shape.hidden,
            "bias": shape.bias, "activation": shape.activation, "positions": shape.positions, "eps": shape.eps,
        }  # fmt: skip
