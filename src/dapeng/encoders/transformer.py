"""A Transformer encoder over the tokens of a text.

Vaswani et al.: Attention Is All You Need, 2017 (https://arxiv.org/abs/1706.03762); pre-norm as in Xiong et al., 2020.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.attention import Block, attend_to, masked_mean, sinusoids
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent


@encoders
class Transformer(EncoderOptions):
    """Self-attention over the tokens; pooled is their mean.

    Paper: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762
    Example: `inputs: {title: {type: text, encoder: {type: transformer, num_layers: 4, num_heads: 8}}}`
    """

    type: Literal["transformer"] = "transformer"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    num_layers: int = Field(2, ge=1, le=1000)
    """Blocks, one on the other."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads of a block; divides embed_dim."""
    embed_dim: int = Field(128, ge=1, le=65_536)
    """Width of a token's vector."""
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Transformer:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

    def build(self, columns: list[Any], tables: Any) -> TransformerEncoder:
        column = columns[0]
        return TransformerEncoder(tables.get(column.domain, column.size, self.embed_dim), column.max_length, self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 10 if rows < 50_000 else 4, "batch_size": 32, "learning_rate": 5e-4}


class TransformerEncoder(Encoder):
    """ids, mask (B, T) -> tokens (B, T, D), pooled (B, D)."""

    positions: Tensor

    def __init__(self, table: nn.Embedding, max_length: int, o: Transformer):
        super().__init__()
        self.table = Lent(table)
        self.register_buffer("positions", sinusoids(max_length, o.embed_dim), persistent=False)
        self.blocks = nn.ModuleList(Block(o.embed_dim, o.num_heads, o.dropout) for _ in range(o.num_layers))
        self.norm = nn.LayerNorm(o.embed_dim)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.scale = o.embed_dim**0.5
        self.widths = Widths(pooled=o.embed_dim, tokens=o.embed_dim, aligned=True)

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        mask = cells["mask"]
        x = self.drop(embedded * self.scale + self.positions[: embedded.shape[1]])
        bias = attend_to(mask)
        for block in self.blocks:
            x = block(x, bias)
        x = self.norm(x)
        return Features(pooled=masked_mean(x, mask), tokens=x, mask=mask)
