"""Texts by the Transformer of 2017: fixed waves as positions, norms behind each part.

Vaswani et al.: Attention Is All You Need, 2017 (https://arxiv.org/abs/1706.03762).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import decoders
from dapeng.decoders.public import PublicWriting
from dapeng.nn.causal import Shape
from dapeng.public.families import marian
from dapeng.public.folders import PublicFolder, open_folder
from dapeng.public.translators import codec_in, config_in


@decoders
class Transformer(PublicWriting):
    """Writes token by token: sinusoidal positions, layer norms behind attention and perceptron, ReLU. Its public weights are
    Marian's translators, with the encoder of the same folder.

    Paper: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762
    Example: `outputs: {story: {type: text, tokeniser: words, decoder: {type: transformer, embed_dim: 100, num_heads: 4}}}`
    """

    type: Literal["transformer"] = "transformer"
    tiny: ClassVar[dict[str, Any]] = {"embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
    family: ClassVar[Any] = marian
    whole: ClassVar[bool] = True
    width: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Of the perceptron. auto: four times embed_dim."""
    activation: Literal["relu", "gelu", "gelu_tanh", "silu"] = "relu"
    """Of the perceptron."""
    positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal"
    """How a token knows its place: fixed waves beside vectors that are scaled by the root of their width, or a learned vector."""
    pre_norm: bool = False
    """Norms before attention and perceptron (Xiong et al., 2020), and one at the end; false: behind them, as in 2017."""
    eps: float = Field(1e-5, gt=0, lt=1)
    """Of the layer norms."""
    head_bias: bool = False
    """Add a number to each token's logit that is learnt too, as Marian's translators do."""

    @model_validator(mode="after")
    def _divides(self) -> Transformer:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

    def shape(self, cross: int | None, longest: int) -> Shape:
        positions = longest if self.positions == "learned" else 0
        return Shape(
            width=self.embed_dim, layers=self.num_layers, heads=self.num_heads, kv_heads=self.num_heads,
            head_width=self.embed_dim // self.num_heads, hidden=4 * self.embed_dim if self.width == "auto" else self.width,
            norm="layer", eps=self.eps, activation=self.activation, gated=False, bias=True, rotary=None, positions=positions,
            dropout=self.dropout, attention_dropout=self.in_attention, cross=cross, waves=self.positions == "sinusoidal", pre_norm=self.pre_norm,
        )  # fmt: skip

    def biased(self) -> bool:
        return self.head_bias

    def architecture(self, shape: Shape, tied: bool) -> dict[str, Any]:
        return {
            "embed_dim": shape.width, "num_layers": shape.layers, "num_heads": shape.heads, "width": shape.hidden,
            "activation": shape.activation, "positions": "sinusoidal", "pre_norm": False, "eps": shape.eps, "head_bias": True,
        }  # fmt: skip

    def vocabulary(self) -> dict[str, Any] | None:
        if self.weights is None:
            return None
        folder = open_folder(self.weights)
        return folder.codec(self.type) or codec_in(folder, "target")

    def translated(self, folder: PublicFolder, shape: Shape) -> dict[str, Tensor]:
        try:
            return marian.ours(folder.state(), shape, marian.scaled(config_in(folder)))
        except KeyError as error:
            what = f"the weights in {folder.name} lack {error.args[0]}"
            raise SpecError(Problem("weights", what, "name a folder with all weights of the model")) from None
