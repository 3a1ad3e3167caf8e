"""A bag of n-grams: the mean of learned vectors. Strong on short texts, and fast.

Joulin, Grave, Bojanowski, Mikolov: Bag of Tricks for Efficient Text Classification, 2016 (https://arxiv.org/abs/1607.01759).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.attention import masked_mean
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent


@encoders
class Bag(EncoderOptions):
    """The mean of the vectors of a text's n-grams, and their maximum.

    Paper: Joulin et al., 2016, https://arxiv.org/abs/1607.01759
    Example: `inputs: {review: {type: text, encoder: bag}}`
    """

    type: Literal["bag"] = "bag"
    fits: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    tokeniser: ClassVar[str] = "ngrams"
    embed_dim: int = Field(32, ge=1, le=4096)
    """Width of an n-gram's vector."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of n-grams that are left out in training."""

    def build(self, columns: list[Any], tables: Any) -> BagEncoder:
        return BagEncoder(tables.get(columns[0].domain, columns[0].size, self.embed_dim), self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {
            "epochs": 6 if rows < 50_000 else 3,
            "batch_size": 128 if rows < 50_000 else 512,
            "learning_rate": 8e-3 if rows < 10_000 else 4e-3,  # few rows are few steps
        }


class BagEncoder(Encoder):
    """ids, mask (B, T) -> tokens (B, T, D), pooled (B, 2 D)."""

    def __init__(self, table: nn.Embedding, o: Bag):
        super().__init__()
        self.table, self.dropout = Lent(table), o.dropout
        self.widths = Widths(pooled=2 * o.embed_dim, tokens=o.embed_dim, aligned=True)

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        mask = cells["mask"]
        kept = mask
        if self.training and self.dropout:
            kept = mask & (torch.rand(mask.shape, device=mask.device) >= self.dropout)
        highest = embedded.masked_fill(~kept[..., None], -1e4).amax(1)
        highest = torch.where(kept.any(1, keepdim=True), highest, torch.zeros_like(highest))
        return Features(pooled=torch.cat([masked_mean(embedded, kept), highest], 1), tokens=embedded, mask=mask)
