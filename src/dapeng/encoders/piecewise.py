"""Piecewise-linear embedding of numbers: where a value lies among the quantiles of the training rows.

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

    def build(self, columns: list[Any], tables: Any) -> PiecewiseEncoder:
        edges = [c.bins(self.bins) for c in columns]
        return PiecewiseEncoder(edges, self.embed_dim, self.activation, any(c.can_be_absent for c in columns))


class PiecewiseEncoder(Encoder):
    """values (B, K) -> tokens (B, K, D), pooled (B, K D). T bins, of which a column uses the first."""

    low: Tensor
    scale: Tensor
    least: Tensor
    highest: Tensor

    def __init__(self, edges: list[list[float]], dim: int, activation: bool, absent: bool):
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
        self.widths = Widths(pooled=count * dim, tokens=dim)

    def embed(self, cells: Cells) -> Tensor:
        values = cells["values"]
        bins = ((values[..., None] - self.low) * self.scale).clamp(self.least, self.highest)  # (B, K, T)
        x = torch.baddbmm(self.bias, bins.transpose(0, 1), self.weight)  # (K, B, D)
        x = (x + values.t()[..., None].clamp(-8, 8) * self.linear).transpose(0, 1)
        x = x.relu() if self.activation else x
        if self.missing is None or cells.present is None:
            return x if self.missing is None else x + 0 * self.missing
        return torch.where(cells.present[..., None], x, self.missing)

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return Features(pooled=embedded.flatten(1), tokens=embedded)
