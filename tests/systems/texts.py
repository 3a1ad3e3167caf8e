"""Texts and speech, as small as they can be: a decoder with a cache, search over its steps, and CTC.

Legend: B rows, T tokens, D width, H heads, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, where_present
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Lent

BOS, EOS = 1, 2


class CachedBlock(nn.Module):
    """Self-attention with a cache, cross-attention where there is a memory, a perceptron."""

    def __init__(self, dim: int, cross: bool, num_heads: int = 2):
        super().__init__()
        self.num_heads = num_heads
        self.norm1, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim) if cross else None
        self.q, self.kv = (nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)) if cross else (None, None)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, bias: Tensor | None, memory: Tensor | None, seen: Tensor | None, cache: list | None):
        q, k, v = map(self._heads, self.qkv(self.norm1(x)).chunk(3, -1))
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = [k, v]
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2))
        if self.q is not None and self.kv is not None and self.norm2 is not None and memory is not None:
            mk, mv = map(self._heads, self.kv(memory).chunk(2, -1))
            mixed = F.scaled_dot_product_attention(self._heads(self.q(self.norm2(x))), mk, mv, seen)
            x = x + mixed.transpose(1, 2).flatten(2)
        return x + self.mlp(self.norm3(x))


class TextDecoder(Decoder):
    """Target: ids (B, T) that begin with BOS, mask, and segments (B, T) where documents are packed."""

    def __init__(self, table: nn.Embedding, cross: bool = False, num_layers: int = 2, length: int = 32):
        super().__init__()
        dim = table.embedding_dim
        self.table, self.cross = Lent(table), cross
        self.positions = nn.Embedding(length, dim)
        self.blocks = nn.ModuleList(CachedBlock(dim, cross) for _ in range(num_layers))
        self.norm = nn.LayerNorm(dim)
        self.needs = frozenset({"tokens"}) if cross else frozenset()  # type: ignore[misc]

    def counted(self, target: Cells) -> Tensor:
        """(B, T - 1) which predictions count: of real tokens, within one document."""
        real = target["mask"][:, 1:]
        segments = target.tensors.get("segments")
        return real if segments is None else real & (segments[:, 1:] == segments[:, :-1])

    def count(self, target: Cells) -> Tensor:
        return where_present(self.counted(target).sum(1).float(), target)

    def hidden(self, features: Features | None, ids: Tensor, bias: Any, at: Tensor, caches: Any = None) -> Tensor:
        x = self.table.module(ids) + self.positions(at)
        memory = features.tokens if self.cross and features is not None else None
        mask = features.mask if self.cross and features is not None else None
        seen = None if mask is None else mask[:, None, None, :]
        for i, block in enumerate(self.blocks):
            x = block(x, bias, memory, seen, None if caches is None else caches[i])
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.table.module.weight)  # type: ignore[arg-type]

    def nll(self, features: Features | None, target: Cells) -> Tensor:
        """(B, T - 1)"""
        ids = target["ids"]
        rows, length = ids.shape[0], ids.shape[1] - 1
        i = torch.arange(length)
        bias, at = (i[:, None] >= i)[None, None], i.expand(rows, length)
        if "segments" in target:
            segments = target["segments"][:, :-1]
            bias = bias & (segments[:, None, :, None] == segments[:, None, None, :])
            begins = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0))
            at = i - torch.where(begins, i, 0).cummax(1).values
        logits = self.logits(self.hidden(features, ids[:, :-1], bias, at))
        every = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        return every.view(rows, length) * self.counted(target)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        return where_present(self.nll(features, target).sum(1), target)

    def score(self, features: Features | None, target: Cells) -> Tensor:
        return -self.loss(features, target)

    # what generation asks for; search lies outside
    def start(self, features: Features | None, size: int) -> dict[str, Any]:
        return {"caches": [[] for _ in self.blocks], "features": features, "at": 0}

    def step(self, ids: Tensor, state: dict[str, Any]) -> Tensor:
        """ids (B,) -> (B, V)"""
        at = torch.full((ids.shape[0], 1), state["at"])
        state["at"] += 1
        return self.logits(self.hidden(state["features"], ids[:, None], None, at, state["caches"]))[:, 0]

    def reorder(self, state: dict[str, Any], index: Tensor) -> None:
        state["caches"] = [[x[index] for x in cache] for cache in state["caches"]]

    def predict(
        self, features: Features | None, size: int, beams: int = 1, length: int = 8, **options: Any
    ) -> dict[str, Tensor]:
        return search(self, features, size, beams, length)


def search(decoder: TextDecoder, features: Features | None, size: int, beams: int, length: int) -> dict[str, Tensor]:
    """Greedy and beam search over anything with start, step and reorder."""
    if features is not None and features.tokens is not None:
        mask = None if features.mask is None else features.mask.repeat_interleave(beams, 0)
        features = Features(tokens=features.tokens.repeat_interleave(beams, 0), mask=mask)
    state = decoder.start(features, size * beams)
    ids = torch.full((size * beams, 1), BOS)
    score = torch.full((size, beams), -1e9)
    score[:, 0] = 0
    for _ in range(length):
        logs = decoder.step(ids[:, -1], state).log_softmax(-1)
        ended = (ids == EOS).any(1)
        only_end = torch.full_like(logs, -1e9).index_fill(1, torch.tensor([EOS]), 0.0)
        logs = torch.where(ended[:, None], only_end, logs)
        score, best = (score[..., None] + logs.view(size, beams, -1)).flatten(1).topk(beams)
        source = (torch.arange(size)[:, None] * beams + best // logs.shape[1]).flatten()
        ids = torch.cat([ids[source], (best % logs.shape[1]).view(-1, 1)], 1)
        decoder.reorder(state, source)
    return {"ids": ids.view(size, beams, -1)[:, 0], "log_likelihood": score[:, 0]}


class CTC(Decoder):
    """Target: ids (B, T) and mask; blank is 0."""

    needs = frozenset({"tokens"})

    def __init__(self, widths: Widths, vocab: int):
        super().__init__()
        self.head = nn.Linear(widths.tokens or 0, vocab)

    def count(self, target: Cells) -> Tensor:
        return target["mask"].sum(1).float()

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        assert features is not None
        assert features.mask is not None
        logs = self.head(features.tokens).log_softmax(-1).transpose(0, 1)
        lengths = features.mask.sum(1), target["mask"].sum(1)
        return F.ctc_loss(logs, target["ids"], *lengths, reduction="none", zero_infinity=True)

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        assert features is not None
        return {"frame_ids": self.head(features.tokens).argmax(-1)}
