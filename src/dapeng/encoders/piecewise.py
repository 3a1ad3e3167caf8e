"""Piecewise-linear embedding of numbers: where a value lies among the quantiles of the training rows; and what columns that rise
together differ in (`dapeng.nn.contrasts`).

Gorishniy, Rubachev, Babenko: On Embeddings for Numerical Features in Tabular Deep Learning, 2022
(https://arxiv.org/abs/2203.05556).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.contrasts import Contrasts
from dapeng.nn.features import Features, Widths


@encoders
class Piecewise(EncoderOptions):
    """Numbers by piecewise-linear embedding over quantile bins, then a linear layer for each column.

    Paper: Gorishniy et al., 2022, https://arxiv.org/abs/2203.05556
    Example: `inputs: {age: {type: number, encoder: {type: piecewise, bins: 32}}}`
    """

    type: Literal["piecewise"] = "piecewise"
    fits: ClassVar[tuple[str, ...]] = ("number",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    bins: int = Field(48, ge=1, le=64)
    """Most bins of a column; columns with few values have fewer."""
    embed_dim: int = Field(16, ge=1, le=4096)
    """Width of a number."""
    activation: bool = True
    """ReLU after the linear layer."""
    contrasts: int = Field(4, ge=0, le=64)
    """Most directions in which columns that rise together differ, read beside the columns; 0 for none."""

    def build(self, columns: list[Any], tables: Any) -> PiecewiseEncoder:
        edges = [c.bins(self.bins) for c in columns]
        count = min(self.contrasts, len(columns) - 1)
        contrasts = Contrasts(columns, count) if count else None
        return PiecewiseEncoder(
            edges, self.embed_dim, self.activation, any(c.can_be_absent for c in columns), contrasts
        )


class PiecewiseEncoder(Encoder):
    """values (B, K) -> tokens (B, K, D), pooled (B, K D + C). T bins, of which a column uses the first; C contrasts, each the
    sum of a term of every column, so that what a column adds to an answer can be told.
    """

    low: Tensor
    scale: Tensor
    least: Tensor
    highest: Tensor

    def __init__(
        self, edges: list[list[float]], dim: int, activation: bool, absent: bool, contrasts: Contrasts | None = None
    ):
        super().__init__()
        count, most = len(edges), max(map(len, edges)) - 1
        low, scale = torch.zeros(count, most), torch.zeros(count, most)
        least, highest = torch.zeros(count, most), torch.zeros(count, most)
        for k, column in enumerate(edges):
            e = torch.tensor(column, dtype=torch.float64)
            n = len(column) - 1
            low[k, :n], scale[k, :n] = e[:-1].float(), (1 / (e[1:] - e[:-1])).float()
            highest[k, :n] = 1.0
            # beyond the outermost edges the first and the last bin go on, bounded against wild values
            least[k, 0], highest[k, n - 1] = -4.0, 4.0
        for name, value in {"low": low, "scale": scale, "least": least, "highest": highest}.items():
            self.register_buffer(name, value, persistent=False)
        self.weight = nn.Parameter(torch.randn(count, most, dim) * most**-0.5)
        self.bias = nn.Parameter(torch.zeros(count, 1, dim))
        self.linear = nn.Parameter(torch.randn(count, 1, dim) * 0.1)
        self.missing = nn.Parameter(torch.zeros(count, dim)) if absent else None
        self.activation = activation
        self.contrasts, self.dim = contrasts, dim
        self.widths = Widths(pooled=count * dim + (contrasts.turn.shape[1] if contrasts is not None else 0), tokens=dim)

    def prime(self, cells: Cells) -> None:
        """Look at training rows before the first step."""
        if self.contrasts is not None:
            self.contrasts.prime(cells["values"], cells.present)

    def embed(self, cells: Cells) -> Tensor:
        values = cells["values"]
        bins = ((values[..., None] - self.low) * self.scale).clamp(self.least, self.highest)  # (B, K, T)
        x = torch.baddbmm(self.bias, bins.transpose(0, 1), self.weight)  # (K, B, D)
        x = (x + values.t()[..., None].clamp(-8, 8) * self.linear).transpose(0, 1)
        x = x.relu() if self.activation else x
        if self.missing is not None:
            there = cells.present
            x = x + 0 * self.missing if there is None else torch.where(there[..., None], x, self.missing)
        return x if self.contrasts is None else torch.cat([x, self.contrasts(values, cells.present)], -1)

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        own = embedded[..., : self.dim]
        if self.contrasts is None:
            return Features(pooled=own.flatten(1), tokens=own)
        contrasts = self.contrasts.joined(embedded[..., self.dim :])
        return Features(pooled=torch.cat([own.flatten(1), contrasts], 1), tokens=own)
