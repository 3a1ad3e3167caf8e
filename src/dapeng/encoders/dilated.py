"""Dilated convolutions over the tokens of a text.

Strubell et al.: Fast and Accurate Entity Recognition with Iterated Dilated Convolutions, 2017 (https://arxiv.org/abs/1702.02098).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.attention import pooled_tokens
from dapeng.nn.dilated import Channels, DilatedStack
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent


@encoders
class Dilated(EncoderOptions):
    """Convolutions over the tokens, each looking further than the one before; cheap on long texts. Pooled is their mean.

    Paper: Strubell et al., 2017, https://arxiv.org/abs/1702.02098
    Example: `inputs: {passage: {type: text, encoder: {type: dilated, dilations: [1, 2, 4, 8]}}}`
    """

    type: Literal["dilated"] = "dilated"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    finds_hidden: ClassVar[bool] = True
    embed_dim: int = Field(128, ge=1, le=4096)
    """Width of a token's vector, and of the layers."""
    kernel: int = Field(3, ge=1, le=31)
    """Tokens that a layer looks at; odd."""
    dilations: list[int] = Field(default=[1, 2, 4], min_length=1, max_length=64)
    """How far these are apart, in each layer."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """On the vectors of the tokens, and within the layers."""

    @model_validator(mode="after")
    def _odd(self) -> Dilated:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} has no middle: an odd number is expected")
        return self

    def build(self, columns: list[Any], tables: Any) -> DilatedEncoder:
        return DilatedEncoder(tables.get(columns[0].domain, columns[0].size, self.embed_dim), self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 10 if rows < 50_000 else 4, "batch_size": 32, "learning_rate": 1e-3}


class DilatedEncoder(Encoder):
    """ids, mask (B, T) -> tokens (B, T, D), pooled (B, D)."""

    def __init__(self, table: nn.Embedding, o: Dilated):
        super().__init__()
        self.table = Lent(table)
        self.drop = Channels(o.dropout) if o.dropout else nn.Identity()
        self.stack = DilatedStack(o.embed_dim, o.kernel, o.dilations, o.dropout)
        self.scale = o.embed_dim**0.5
        self.widths = Widths(pooled=o.embed_dim, tokens=o.embed_dim, aligned=True)

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        mask = cells["mask"]
        x = self.stack(self.drop(embedded * self.scale), mask)
        return Features(pooled=pooled_tokens(x, mask, "mean"), tokens=x, mask=mask)
