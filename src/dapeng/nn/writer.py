"""A table of tokens, a stack of blocks and a head: what learns to write, and writes one token after the other.

Legend: B rows, T tokens, D width, V vocabulary, S tokens of the inputs, C their width.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn.attention import attend_to
from dapeng.nn.causal import Cache, Causal, Shape, View, beside, cached_view, packed_view, plain_view
from dapeng.nn.token_writer import TokenWriter


@dataclass
class WriterState:
    """What was read of each row: keys and values, and what the inputs say beside it. each: rows that share what their inputs say."""

    cache: Cache
    said: Tensor | None = None
    bias: Tensor | None = None
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    each: int = 1

    @property
    def rows(self) -> int:
        return len(self.cache.lengths)

    def take(self, index: Tensor) -> WriterState:
        """The rows of this index, in its order."""
        if self.each > 1:
            return self._beams(index)
        said, bias = (None if t is None else t[index] for t in (self.said, self.bias))
        return WriterState(
            self.cache.take(index), said, bias, {n: (k[index], v[index]) for n, (k, v) in self.kept.items()}
        )

    def spread(self, beams: int) -> WriterState:
        """Every row so many times, one behind the other; what its inputs say is kept once."""
        index = torch.arange(self.rows, device=self.cache.lengths.device).repeat_interleave(beams)
        return WriterState(self.cache.trimmed(index), self.said, self.bias, self.kept, beams)

    def _beams(self, index: Tensor) -> WriterState:
        cache, rows = self.cache.trimmed(index), index[:: self.each] // self.each
        if len(index) == self.rows:  # beams change their places within a row alone
            return WriterState(cache, self.said, self.bias, self.kept, self.each)
        said, bias = (None if t is None else t[rows] for t in (self.said, self.bias))
        return WriterState(cache, said, bias, {n: (k[rows], v[rows]) for n, (k, v) in self.kept.items()}, self.each)

    def joined(self, other: WriterState) -> WriterState:
        """The rows of both, for requests that come later. What the inputs say is padded to the longer of the two."""
        cache = self.cache.joined(other.cache)
        if self.said is None or other.said is None:
            return WriterState(cache)
        longest = max(self.said.shape[1], other.said.shape[1])
        said = torch.cat([_longer(s.said, longest) for s in (self, other) if s.said is not None])
        bias = torch.cat([_bias(self, longest), _bias(other, longest)])
        return WriterState(cache, said, bias)


def _longer(x: Tensor, tokens: int) -> Tensor:
    return F.pad(x, (0, 0, 0, tokens - x.shape[1]))


def _bias(state: WriterState, tokens: int) -> Tensor:
    assert state.said is not None
    known = (
        state.bias
        if state.bias is not None
        else torch.ones(len(state.said), 1, 1, state.said.shape[1], dtype=torch.bool, device=state.said.device)
    )
    return F.pad(known, (0, tokens - known.shape[-1]), value=False)


class Writer(TokenWriter):
    """ids (B, T) -> losses of the tokens that follow; or, with a state, the logits of the next one.

    kept_as: the type in which keys and values are kept while it writes; None: that of the table.
    """

    kept_as: torch.dtype | None = None

    def __init__(self, shape: Shape, table: nn.Embedding, tied: bool = True, head_bias: bool = False):
        super().__init__(table)
        self.shape = shape
        nn.init.normal_(table.weight, std=shape.width**-0.5 if shape.waves else 0.02)
        self.stack = Causal(shape)
        self.head = self._own_head(tied, shape.width, 0.02)
        if head_bias:
            self.head_bias = nn.Parameter(torch.zeros(table.num_embeddings))

    def hidden(self, ids: Tensor, view: View) -> Tensor:
        """(B, T, D) behind the last norm."""
        return self.stack(self.table.module(ids), view)

    def behind(self, ids: Tensor, documents: Tensor | None, said: Tensor | None, mask: Tensor | None) -> Tensor:
        view = plain_view(ids.shape[0], ids.shape[1], ids.device) if documents is None else packed_view(documents)
        return self.hidden(ids, view if said is None else beside(view, said, mask))

    def start(
        self,
        rows: int,
        room: int,
        said: Tensor | None = None,
        mask: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> WriterState:
        """Nothing read yet, with space for so many tokens."""
        table: Tensor = self.table.module.weight  # type: ignore[assignment]
        cache = Cache(self.shape, rows, room, dtype or self.kept_as or table.dtype, table.device)
        return WriterState(cache, said, attend_to(mask))

    def step(self, ids: Tensor, state: WriterState, lengths: Tensor | None = None) -> Tensor:
        """Read ids (B, T) behind what was read; (B, V) fp32 logits of what follows. lengths: (B,) how many of T are real."""
        rows, tokens = ids.shape
        needed = int(state.cache.lengths.max()) + tokens
        if needed > state.cache.room:
            state.cache = state.cache.with_room(max(needed, 2 * state.cache.room))
        view = cached_view(state.cache, tokens, state.kept)
        if state.said is not None:
            view = replace(view, beside=state.said, beside_bias=state.bias, each=state.each)
        hidden = self.hidden(ids, view)
        real = torch.full((rows,), tokens, device=ids.device) if lengths is None else lengths
        state.cache.lengths = state.cache.lengths + real
        return self.logits(hidden[torch.arange(rows, device=ids.device), real - 1])
