"""Recurrent networks over the tokens of a text, the steps of a series, or the rows of a picture from top to bottom.

Hochreiter, Schmidhuber: Long Short-Term Memory, 1997 (https://doi.org/10.1162/neco.1997.9.8.1735); Cho et al., 2014
(https://arxiv.org/abs/1406.1078).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.encoders.pixels import PictureEncoder
from dapeng.nn.attention import pooled_tokens
from dapeng.nn.features import Features, Widths
from dapeng.nn.recurrent import Recurrent, last_step
from dapeng.nn.tables import Lent


class RecurrentOptions(EncoderOptions):
    """What LSTM and GRU have in common."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ("text", "series", "image")
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    finds_hidden: ClassVar[bool] = True
    hidden: int = Field(128, ge=1, le=65_536)
    """Width of the state, in each direction."""
    num_layers: int = Field(1, ge=1, le=1000)
    """Layers, one on the other."""
    bidirectional: bool = False
    """A second network reads from the end to the beginning."""
    pool: Literal["last", "mean", "max", "flatten"] = "last"
    """What the pooled features are made of: the state that has read everything, all states' mean or maximum, or all of them."""
    embed_dim: int = Field(128, ge=1, le=65_536)
    """Width of a token's vector (texts)."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """On the tokens' vectors, between layers, and on the pooled features."""

    def build(self, columns: list[Any], tables: Any) -> Encoder:
        column = columns[0]
        if column.type == "image":
            return RowsEncoder(column, self)
        if column.type == "series":
            return StepsEncoder(column, self)
        return TokensEncoder(tables.get(column.domain, column.size, self.embed_dim), column.max_length, self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 10 if rows < 50_000 else 4, "batch_size": 32, "learning_rate": 1e-3}


@encoders
class LSTM(RecurrentOptions):
    """Reads one step after the other, with a memory that it learns to keep and to clear; one- or two-way, stacked.

    Paper: Hochreiter and Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735
    Example: `inputs: {review: {type: text, encoder: {type: lstm, hidden: 128, bidirectional: true}}}`
    """

    type: Literal["lstm"] = "lstm"


@encoders
class GRU(RecurrentOptions):
    """As an LSTM, with two gates and no memory beside the state: fewer parameters, often as good.

    Paper: Cho et al., 2014, https://arxiv.org/abs/1406.1078
    Example: `inputs: {review: {type: text, encoder: {type: gru, num_layers: 2}}}`
    """

    type: Literal["gru"] = "gru"


class _Stack(nn.Module):
    """(B, T, D), (B, T) -> Features of the states. length: of the longest sequence, where all states are flattened."""

    def __init__(self, width: int, length: int, o: RecurrentOptions):
        super().__init__()
        self.layers = Recurrent(o.type, width, o.hidden, o.num_layers, o.bidirectional, o.dropout)
        self.pool, self.hidden, self.length = o.pool, o.hidden, length
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        wide = self.layers.width * (length if o.pool == "flatten" else 1)
        self.widths = Widths(pooled=wide, tokens=self.layers.width, aligned=True)

    def forward(self, x: Tensor, mask: Tensor | None) -> Features:
        states = self.layers(x, mask)
        if self.pool == "last":
            pooled = last_step(states, mask, self.hidden)
        elif self.pool == "flatten":
            pooled = F.pad(states, (0, 0, 0, self.length - states.shape[1])).flatten(1)
        else:
            pooled = pooled_tokens(states, mask, self.pool)
        return Features(pooled=self.drop(pooled), tokens=states, mask=mask)


class TokensEncoder(Encoder):
    """ids, mask (B, T) -> tokens (B, T, H or 2 H), pooled."""

    def __init__(self, table: nn.Embedding, length: int, o: RecurrentOptions):
        super().__init__()
        self.table = Lent(table)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.stack = _Stack(o.embed_dim, length, o)
        self.widths = self.stack.widths

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return self.stack(self.drop(embedded), cells["mask"])


class StepsEncoder(Encoder):
    """values (B, T, C), mask (B, T) -> tokens (B, T, H or 2 H), pooled: a step is what was measured at one time."""

    def __init__(self, column: Any, o: RecurrentOptions):
        super().__init__()
        self.stack = _Stack(column.channels, column.max_length, o)
        self.widths = self.stack.widths

    def embed(self, cells: Cells) -> Tensor:
        return cells["values"]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return self.stack(embedded, cells["mask"])


class RowsEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> tokens (B, Y, H or 2 H), pooled: a step is a row of the picture."""

    def __init__(self, column: Any, o: RecurrentOptions):
        super().__init__(column)
        channels, height, width = self.shape
        self.stack = _Stack(channels * width, height, o)
        self.widths = Widths(pooled=self.stack.widths.pooled, tokens=self.stack.widths.tokens)

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return self.stack(embedded.transpose(1, 2).flatten(2), None)
