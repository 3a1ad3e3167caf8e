"""A set of labels by the mean of their learned vectors."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.attention import masked_mean
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent


@encoders
class EmbeddingBag(EncoderOptions):
    """The mean of a learned vector for each label of a set; an empty set is zeros, label 0 stands for unseen ones.

    Example: `inputs: {genres: {type: set, encoder: {type: embedding_bag, embed_dim: 32}}}`
    """

    type: Literal["embedding_bag"] = "embedding_bag"
    fits: ClassVar[tuple[str, ...]] = ("set",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    embed_dim: int = Field(16, ge=1, le=4096)
    """Width of a label's vector."""

    def build(self, columns: list[Any], tables: Any) -> EmbeddingBagEncoder:
        return EmbeddingBagEncoder(tables.get(columns[0].domain, columns[0].size, self.embed_dim), self.embed_dim)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"trunk": True}


class EmbeddingBagEncoder(Encoder):
    """ids, mask (B, T) -> tokens (B, T, D), pooled (B, D)."""

    def __init__(self, table: nn.Embedding, dim: int):
        super().__init__()
        self.table = Lent(table)
        self.widths = Widths(pooled=dim, tokens=dim, aligned=True)

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return Features(pooled=masked_mean(embedded, cells["mask"]), tokens=embedded, mask=cells["mask"])
