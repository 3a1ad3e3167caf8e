"""Encoders of frames, histories and sigmoids, and decoders over rows: parts that prove that the contracts hold them.

Legend: B rows, T tokens, D width.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.data.batch import Batch, Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.encoders.base import Encoder
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent


class Frames(Encoder):
    """frames (B, T, F), mask -> tokens at half the rate."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.convolution = nn.Conv1d(width, dim, 3, 2, 1)
        self.recurrent = nn.GRU(dim, dim // 2, batch_first=True, bidirectional=True)
        self.widths = Widths(pooled=dim, tokens=dim)

    def embed(self, cells: Cells) -> Tensor:
        return cells["frames"]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        x, _ = self.recurrent(F.relu(self.convolution(embedded.mT)).mT)
        return Features(pooled=x.mean(1), tokens=x, mask=cells["mask"][:, ::2])


class History(Encoder):
    """ids (B, T), mask of a shared table -> their mean."""

    def __init__(self, table: nn.Embedding):
        super().__init__()
        self.table = Lent(table)
        self.widths = Widths(pooled=table.embedding_dim)

    def embed(self, cells: Cells) -> Tensor:
        return self.table.module(cells["ids"])

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        mask = cells["mask"][..., None]
        return Features(pooled=(embedded * mask).sum(1) / mask.sum(1).clamp(min=1))


class Sigmoids(Encoder):
    """values (B, D) through layers of sigmoids: what a deep belief network becomes."""

    def __init__(self, *sizes: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.widths = Widths(pooled=sizes[-1])

    def embed(self, cells: Cells) -> Tensor:
        return cells["values"]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        for layer in self.layers:
            embedded = layer(embedded).sigmoid()
        return Features(pooled=embedded)


class NextItem(Decoder):
    """Target: codes (B,) of the domain whose table it borrows; all items are negatives, or some that are drawn."""

    def __init__(self, widths: Widths, table: nn.Embedding, negatives: int | None):
        super().__init__()
        self.table, self.negatives = Lent(table), negatives
        self.query = nn.Linear(widths.pooled or 0, table.embedding_dim)

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["codes"].shape[0])

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        assert features is not None
        query, wanted, table = self.query(features.pooled), target["codes"], self.table.module
        if self.negatives is None:
            logits = F.linear(query, table.weight)  # type: ignore[arg-type]
            return where_present(F.cross_entropy(logits, wanted, reduction="none"), target)
        drawn = torch.randint(table.num_embeddings, (self.negatives,))  # type: ignore[arg-type]
        logits = torch.cat([(query * table(wanted)).sum(-1, keepdim=True), query @ table(drawn).T], 1)
        return where_present(F.cross_entropy(logits, torch.zeros_like(wanted), reduction="none"), target)

    def predict(
        self, features: Features | None, size: int, seen: Tensor | None = None, **options: Any
    ) -> dict[str, Tensor]:
        assert features is not None
        scores = F.linear(self.query(features.pooled), self.table.module.weight)  # type: ignore[arg-type]
        return {"scores": scores if seen is None else scores.masked_fill(seen, -1e9)}


class Match(Decoder):
    """Two inputs, unfused, that belong together; the other rows of the batch are the negatives. Radford et al., 2021."""

    def __init__(self, a: str, b: str, widths: dict[str, Widths], dim: int):
        super().__init__()
        self.reads = (a, b)
        self.a, self.b = (nn.Linear(widths[n].pooled or 0, dim, bias=False) for n in (a, b))
        self.scale = nn.Parameter(torch.tensor(2.0))

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["pair"].shape[0])

    def towers(self, parts: Any) -> tuple[Tensor, Tensor]:
        a, b = (parts[n].pooled for n in self.reads or ())
        return F.normalize(self.a(a), dim=-1), F.normalize(self.b(b), dim=-1)

    def loss(self, features: Any, target: Cells) -> Tensor:
        u, v = self.towers(features)
        z = u @ v.T * self.scale.exp()
        right = torch.arange(z.shape[0])
        both = F.cross_entropy(z, right, reduction="none") + F.cross_entropy(z.T, right, reduction="none")
        return where_present(both / 2, target)

    def predict(self, features: Any, size: int, **options: Any) -> dict[str, Tensor]:
        u, v = self.towers(features)
        return {"first": u, "second": v}


def without_input(batch: Batch, name: str) -> Batch:
    """The batch with one input absent in every row."""
    return batch.replace({name: replace(batch[name], present=torch.zeros(batch.size, dtype=torch.bool))})
