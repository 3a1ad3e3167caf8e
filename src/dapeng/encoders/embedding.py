"""Categories by learned vectors, all columns of a block in one table."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent


@encoders
class Embedding(EncoderOptions):
    """A learned vector for each label; label 0 stands for unseen and missing.

    Example: `inputs: {city: {type: category, encoder: {type: embedding, embed_dim: 8}}}`
    """

    type: Literal["embedding"] = "embedding"
    fits: ClassVar[tuple[str, ...]] = ("category",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    embed_dim: int = Field(16, ge=1, le=4096)
    """Width of a label's vector."""

    def build(self, columns: list[Any], tables: Any) -> EmbeddingEncoder:
        domains = [c.domain for c in columns]
        shared = len(set(domains)) < len(domains) or any(getattr(c.options, "like", None) for c in columns)
        if shared:
            lent = [tables.get(c.domain, c.size, self.embed_dim) for c in columns]
            return EmbeddingEncoder([t.num_embeddings for t in lent], self.embed_dim, lent)
        joint = tables.get("+".join(c.name for c in columns), sum(c.size for c in columns), self.embed_dim)
        return EmbeddingEncoder([c.size for c in columns], self.embed_dim, [joint])


class EmbeddingEncoder(Encoder):
    """codes (B, K) -> tokens (B, K, D), pooled (B, K D)."""

    offset: Tensor

    def __init__(self, sizes: list[int], dim: int, lent: list[Any]):
        super().__init__()
        self.lent = [Lent(t) for t in lent]
        offsets = [0, *accumulate(sizes)][:-1]
        self.register_buffer("offset", torch.tensor(offsets), persistent=False)
        self.widths = Widths(pooled=dim * len(sizes), tokens=dim)

    def embed(self, cells: Cells) -> Tensor:
        codes = cells["codes"]
        if len(self.lent) == 1:
            return self.lent[0].module(codes + self.offset)
        return torch.stack([t.module(codes[:, k]) for k, t in enumerate(self.lent)], 1)

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return Features(pooled=embedded.flatten(1), tokens=embedded)
