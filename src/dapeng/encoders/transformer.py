"""A Transformer encoder over the tokens of a text.

Vaswani et al.: Attention Is All You Need, 2017 (https://arxiv.org/abs/1706.03762); pre-norm as in Xiong et al., 2020.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import ActivationOptions, NormOptions, activations, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.encoders.public import PublicOptions
from dapeng.nn.attention import Block, attend_to, pooled_tokens, rotations, sinusoids
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent
from dapeng.public.families import marian
from dapeng.public.folders import PublicFolder, open_folder
from dapeng.public.translators import codec_in, config_in, read_with


@encoders
class Transformer(PublicOptions):
    """Self-attention over the tokens; pooled is their mean. Its public weights are the encoders of Marian's translators.

    Paper: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762
    Example: `inputs: {title: {type: text, encoder: {type: transformer, num_layers: 4, num_heads: 8}}}`
    """

    type: Literal["transformer"] = "transformer"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    finds_hidden: ClassVar[bool] = True
    num_layers: int = Field(2, ge=1, le=1000)
    """Blocks, one on the other."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads of a block; divides embed_dim."""
    embed_dim: int = Field(128, ge=1, le=65_536)
    """Width of a token's vector."""
    width: int | Literal["auto"] = Field("auto", ge=1, le=1_000_000)
    """Of the perceptron of a block. auto: four times embed_dim."""
    dropout: float = Field(0.1, ge=0, lt=1)
    positions: Literal["sinusoidal", "learned", "rotary", "none"] = "sinusoidal"
    """How a token knows its place: fixed waves (2017), a learned vector (Devlin et al., 2018), or queries and keys turned by their
    place (Su et al., 2021, https://arxiv.org/abs/2104.09864)."""
    pre_norm: bool = True
    """Norms before attention and perceptron (Xiong et al., 2020); false: behind them, as in 2017."""
    norm: Annotated[NormOptions, norms.choice("tokens", default="layer")] = DEFAULT
    activation: Annotated[ActivationOptions, activations.choice(default="gelu")] = DEFAULT
    pool: Literal["mean", "max", "first"] = "mean"
    """What the pooled features are made of: all tokens' mean or maximum, or the first one."""

    @model_validator(mode="after")
    def _divides(self) -> Transformer:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        if self.positions == "rotary" and self.embed_dim // self.num_heads % 2:
            raise ValueError(f"rotary positions need an even head width, not {self.embed_dim // self.num_heads}")
        return self

    def build(self, columns: list[Any], tables: Any) -> TransformerEncoder:
        column = columns[0]
        encoder = TransformerEncoder(tables.get(column.domain, column.size, self.embed_dim), column.max_length, self)
        self.settled(encoder)
        return encoder

    def advice(self, rows: int) -> dict[str, Any]:
        if self.weights is not None:
            return {"epochs": 10 if rows < 1_000 else 3, "batch_size": 32, "learning_rate": 1e-3}
        return {"epochs": 10 if rows < 50_000 else 4, "batch_size": 32, "learning_rate": 5e-4}

    def vocabulary(self) -> dict[str, Any] | None:
        if self.weights is None:
            return None
        folder = open_folder(self.weights)
        return folder.vocabulary(self.type) or read_with(codec_in(folder, "source"))

    def architecture(self, folder: PublicFolder) -> dict[str, Any]:
        sizes = marian.encoder_of(config_in(folder))
        if sizes["activation"] not in activations.members():
            what = f"{folder.name} is not supported: activation {sizes['activation']}"
            raise SpecError(Problem("weights", what, "name another folder"))
        return {**sizes, "positions": "sinusoidal", "pre_norm": False, "norm": "layer"}

    def translated(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        assert self.weights is not None
        scales = marian.scaled(open_folder(self.weights).json("config.json"))
        return marian.encoder_ours(state, self.num_layers, scales)


class TransformerEncoder(Encoder):
    """ids, mask (B, T) -> tokens (B, T, D), pooled (B, D)."""

    positions: Tensor | None
    cosines: Tensor
    sines: Tensor

    def __init__(self, table: nn.Embedding, max_length: int, o: Transformer):
        super().__init__()
        self.table = Lent(table)
        if o.positions == "learned":
            self.positions = nn.Parameter(0.02 * torch.randn(max_length, o.embed_dim))
        else:
            waves = sinusoids(max_length, o.embed_dim) if o.positions == "sinusoidal" else None
            self.register_buffer("positions", waves, persistent=False)
        self.rotary = o.positions == "rotary"
        cosines, sines = rotations(max_length if self.rotary else 0, o.embed_dim // o.num_heads)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        width = None if o.width == "auto" else o.width
        self.blocks = nn.ModuleList(
            Block(o.embed_dim, o.num_heads, o.dropout, width, o.pre_norm, o.norm.rows, o.activation.build())
            for _ in range(o.num_layers)
        )
        self.norm = o.norm.rows(o.embed_dim) if o.pre_norm else nn.Identity()
        self.pool = o.pool
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.scale = o.embed_dim**0.5
        self.widths = Widths(pooled=o.embed_dim, tokens=o.embed_dim, aligned=True)

    def levels(self) -> list[nn.Module]:
        own = [self.positions] if isinstance(self.positions, nn.Parameter) else []
        first = nn.ModuleList([self.table.module, nn.ParameterList(own)])
        return [first, *self.blocks, *([self.norm] if isinstance(self.norm, nn.LayerNorm) else [])]

    def public_state(self) -> dict[str, Tensor]:
        table: Any = self.table.module.weight
        return {**super().public_state(), "table": table.detach()}

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        mask = cells["mask"]
        length = embedded.shape[1]
        x = embedded * self.scale
        if self.positions is not None:
            x = x + self.positions[:length]
        x, bias = self.drop(x), attend_to(mask)
        turn = (self.cosines[:length], self.sines[:length]) if self.rotary else None
        for block in self.blocks:
            x = block(x, bias, turn)
        x = self.norm(x)
        return Features(pooled=pooled_tokens(x, mask, self.pool), tokens=x, mask=mask)
