"""Numbers as they are (standardised), or each by a learned direction."""

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
class Linear(EncoderOptions):
    """Standardised numbers, as they are or each times a learned vector; an absent one is a learned value.

    Example: `inputs: {age: {type: number, encoder: linear}}`
    """

    type: Literal["linear"] = "linear"
    fits: ClassVar[tuple[str, ...]] = ("number",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    embed_dim: int = Field(1, ge=1, le=4096)
    """Width of a number; 1 gives it to the trunk as it is."""

    def build(self, columns: list[Any], tables: Any) -> LinearEncoder:
        return LinearEncoder(len(columns), self.embed_dim, any(c.can_be_absent for c in columns))


class LinearEncoder(Encoder):
    """values (B, K) -> tokens (B, K, D), pooled (B, K D)."""

    def __init__(self, count: int, dim: int, absent: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, dim) * dim**-0.5) if dim > 1 else None
        self.bias = nn.Parameter(torch.zeros(count, dim)) if dim > 1 else None
        self.missing = nn.Parameter(torch.zeros(count, dim)) if absent else None
        self.widths = Widths(pooled=count * dim, tokens=dim)

    def embed(self, cells: Cells) -> Tensor:
        x = cells["values"][..., None]
        if self.weight is not None and self.bias is not None:
            x = x * self.weight + self.bias
        if self.missing is None or cells.present is None:
            # a parameter that exists gets a gradient on every step, of zero where no cell is absent
            return x if self.missing is None else x + 0 * self.missing
        return torch.where(cells.present[..., None], x, self.missing)

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return Features(pooled=embedded.flatten(1), tokens=embedded)
