"""A recurrent network that writes: it reads the text so far into a state, looks at what the inputs say, and answers.

Sutskever et al.: Sequence to Sequence Learning with Neural Networks, 2014 (https://arxiv.org/abs/1409.3215); Bahdanau et al.:
Neural Machine Translation by Jointly Learning to Align and Translate, 2015 (https://arxiv.org/abs/1409.0473); Luong et al.:
Effective Approaches to Attention-based Neural Machine Translation, 2015 (https://arxiv.org/abs/1508.04025).

Attention comes behind the recurrent layers, as Luong's, and what it found is not fed back: the layers read a whole text at once.

Legend: B rows, T tokens, D width of a token, H hidden width, L layers, K states of a layer (1 GRU, 2 LSTM), A width of attention,
V vocabulary, S tokens of the inputs, C their width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from dapeng.nn.attention import masked_mean
from dapeng.nn.recurrent import Recurrent
from dapeng.nn.token_writer import TokenWriter

MOST_COMPARED = 2**25
"""Values of additive attention, B T S A, that are held at once."""


@dataclass(frozen=True)
class RecurrentShape:
    """Sizes and kinds. width: of a token's vector. cross: width of what is looked at beside the text, None for nothing."""

    kind: Literal["gru", "lstm"]
    width: int
    hidden: int
    layers: int = 1
    attention: Literal["additive", "multiplicative", "none"] = "additive"
    dropout: float = 0.0
    cross: int | None = None

    @property
    def states(self) -> int:
        return 2 if self.kind == "lstm" else 1

    @property
    def attends(self) -> bool:
        return self.cross is not None and self.attention != "none"


@dataclass
class Said:
    """What the inputs say: tokens (B, S, C), which are real (B, S), and what a state is compared with (B, S, A)."""

    tokens: Tensor
    mask: Tensor
    keys: Tensor

    def take(self, index: Tensor) -> Said:
        return Said(self.tokens[index], self.mask[index], self.keys[index])

    def joined(self, other: Said) -> Said:
        """The rows of both, padded to the longer of the two."""
        longest = max(self.mask.shape[1], other.mask.shape[1])
        a, b = (s._padded(longest - s.mask.shape[1]) for s in (self, other))
        return Said(torch.cat([a.tokens, b.tokens]), torch.cat([a.mask, b.mask]), torch.cat([a.keys, b.keys]))

    def _padded(self, more: int) -> Said:
        tokens, keys = (F.pad(t, (0, 0, 0, more)) for t in (self.tokens, self.keys))
        return Said(tokens, F.pad(self.mask, (0, more), value=False), keys)


@dataclass
class RecurrentState:
    """What was read of each row, memory (B, K, L, H), and what the inputs say, where that is looked at."""

    memory: Tensor
    said: Said | None = None

    @property
    def rows(self) -> int:
        return len(self.memory)

    def take(self, index: Tensor) -> RecurrentState:
        """The rows of this index, in its order."""
        return RecurrentState(self.memory[index], None if self.said is None else self.said.take(index))

    def spread(self, beams: int) -> RecurrentState:
        """Every row so many times, one behind the other."""
        return self.take(torch.arange(self.rows, device=self.memory.device).repeat_interleave(beams))

    def joined(self, other: RecurrentState) -> RecurrentState:
        """The rows of both, for requests that come later."""
        said = None if self.said is None or other.said is None else self.said.joined(other.said)
        return RecurrentState(torch.cat([self.memory, other.memory]), said)


class FirstState(nn.Module):
    """(B, S, C), (B, S) -> (B, K, L, H): a layer and tanh over the first real token, the last one, and the mean of all.

    At the last token a network that reads forwards has read everything, at the first one that reads backwards.
    """

    def __init__(self, shape: RecurrentShape):
        super().__init__()
        assert shape.cross is not None
        self.sizes = (shape.states, shape.layers, shape.hidden)
        self.layer = nn.Linear(3 * shape.cross, shape.states * shape.layers * shape.hidden)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        real = mask.to(tokens.dtype)
        first, last = real.argmax(1), tokens.shape[1] - 1 - real.flip(1).argmax(1)
        ends = [tokens.gather(1, at[:, None, None].expand(-1, 1, tokens.shape[2]))[:, 0] for at in (first, last)]
        some = mask.any(1, keepdim=True)  # a row that says nothing begins alike, whatever its padding holds
        summary = torch.cat([*(torch.where(some, end, 0.0) for end in ends), masked_mean(tokens, mask)], 1)
        return torch.tanh(self.layer(summary)).unflatten(1, self.sizes)


class StateAttention(nn.Module):
    """States (B, T, H) -> (B, T, C): a mean of what the inputs say, weighed by how well each token fits the state.

    additive: v tanh(W s + U h) (Bahdanau et al.); multiplicative: s W h (Luong et al.). A row without tokens is told zeros.
    """

    def __init__(self, shape: RecurrentShape):
        super().__init__()
        assert shape.cross is not None
        additive = shape.attention == "additive"
        self.keys = nn.Linear(shape.cross, shape.hidden, bias=False)
        self.query = nn.Linear(shape.hidden, shape.hidden, bias=False) if additive else None
        self.score = nn.Linear(shape.hidden, 1, bias=False) if additive else None

    def forward(self, states: Tensor, said: Said) -> Tensor:
        fit = self._fit(states, said.keys).float()
        seen = said.mask | ~said.mask.any(1, keepdim=True)
        weights = fit.masked_fill(~seen[:, None], float("-inf")).softmax(-1) * said.mask[:, None]
        return weights.to(said.tokens.dtype) @ said.tokens

    def _fit(self, states: Tensor, keys: Tensor) -> Tensor:
        """(B, T, S) how well each token fits each state."""
        if self.query is None:
            return states @ keys.transpose(1, 2).to(states.dtype)
        query = self.query(states)
        size = max(1, MOST_COMPARED // keys.numel())
        if query.shape[1] <= size:
            return self._compared(query, keys)
        parts = query.split(size, 1)  # worked out anew in the backward pass, so that only one part is held
        return torch.cat([checkpoint(self._compared, part, keys, use_reentrant=False) for part in parts], 1)  # type: ignore[arg-type]

    def _compared(self, query: Tensor, keys: Tensor) -> Tensor:
        assert self.score is not None
        return self.score(torch.tanh(query[:, :, None] + keys[:, None]))[..., 0]


class RecurrentWriter(TokenWriter):
    """ids (B, T) -> losses of the tokens that follow; or, with a state, the logits of the next one.

    The answer is compared with the table of tokens: tanh of a layer over the state and what attention found (Luong et al., eq. 5).
    """

    def __init__(self, shape: RecurrentShape, table: nn.Embedding, tied: bool = True):
        super().__init__(table)
        self.shape = shape
        self.stack = Recurrent(shape.kind, shape.width, shape.hidden, shape.layers, False, shape.dropout)
        self.first = None if shape.cross is None else FirstState(shape)
        self.attention = StateAttention(shape) if shape.attends else None
        self.out = nn.Linear(shape.hidden + (shape.cross or 0 if shape.attends else 0), shape.width)
        self.drop = nn.Dropout(shape.dropout) if shape.dropout else nn.Identity()
        self.head = self._own_head(tied, shape.width, shape.width**-0.5)

    def hidden(self, ids: Tensor, state: RecurrentState) -> Tensor:
        """(B, T, D) what is answered behind each token."""
        states, _ = self._read(self._embedded(ids), state.memory)
        return self._answer(states, state.said)

    def behind(self, ids: Tensor, documents: Tensor | None, said: Tensor | None, mask: Tensor | None) -> Tensor:
        if documents is None:
            return self.hidden(ids, self.start(ids.shape[0], ids.shape[1], said, mask))
        assert said is None, "texts that are laid one behind the other have no inputs"
        return self._answer(self._read_apart(self._embedded(ids), documents), None)

    def start(
        self,
        rows: int,
        room: int,
        said: Tensor | None = None,
        mask: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> RecurrentState:
        """Nothing read yet. A state takes the same space however long a text grows: `room` is for writers that keep tokens."""
        if said is None or self.first is None:
            s, matrix = self.shape, self.matrix
            return RecurrentState(matrix.new_zeros(rows, s.states, s.layers, s.hidden, dtype=dtype or matrix.dtype))
        real = torch.ones(said.shape[:2], dtype=torch.bool, device=said.device) if mask is None else mask
        found = None if self.attention is None else Said(said, real, self.attention.keys(said))
        return RecurrentState(self.first(said, real), found)

    def step(self, ids: Tensor, state: RecurrentState, lengths: Tensor | None = None) -> Tensor:
        """Read ids (B, T) behind what was read; (B, V) fp32 logits of what follows. lengths: (B,) how many of T are real."""
        _, state.memory = self._read(self._embedded(ids), state.memory, lengths)
        return self.logits(self._answer(state.memory[:, 0, -1:], state.said)[:, 0])

    def _embedded(self, ids: Tensor) -> Tensor:
        return self.drop(self.table.module(ids))

    def _answer(self, states: Tensor, said: Said | None) -> Tensor:
        """(B, T, H) -> (B, T, D)."""
        if self.attention is not None and said is not None:
            found = self.attention(states, said)
            states = torch.cat([states, found.to(states.dtype)], -1)
        return self.drop(torch.tanh(self.out(states)))

    def _read(self, x: Tensor, memory: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, T, D), the memory before -> (B, T, H), the memory behind the last real token of each row."""
        after = []
        for number, layer in enumerate(self.stack.forwards):
            x = self.stack.drop(x) if number else x
            x, ends = _layer(layer, x, memory[:, :, number].to(x.dtype), lengths)
            after.append(ends)
        return x, torch.stack(after, 2)

    def _read_apart(self, x: Tensor, documents: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, H), where the state is empty at the beginning of each text of a row."""
        order, sizes = side_by_side(documents)
        flat = x.flatten(0, 1)[order]
        for number, layer in enumerate(self.stack.forwards):
            flat = self.stack.drop(flat) if number else flat
            flat = layer(PackedSequence(flat, sizes))[0].data
        return flat[order.argsort()].unflatten(0, documents.shape)


def _layer(layer: nn.Module, x: Tensor, before: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """One recurrent layer from its states (B, K, H) on: (B, T, H), and the states behind the last real token."""
    first: Any = tuple(s[None].contiguous() for s in before.unbind(1))
    first = first if isinstance(layer, nn.LSTM) else first[0]
    if lengths is None:
        x, ends = layer(x, first)
    else:
        packed, ends = layer(pack_padded_sequence(x, lengths.cpu(), True, False), first)
        x = pad_packed_sequence(packed, True, total_length=x.shape[1])[0]
    return x, torch.stack([e[0] for e in (ends if isinstance(ends, tuple) else (ends,))], 1)


def side_by_side(documents: Tensor) -> tuple[Tensor, Tensor]:
    """Texts laid one behind the other in rows (B, T) as torch's packed sequences have them, the longest first and nothing padded.

    Gives the order (B T,) of the flattened tokens, and how many texts have a first, a second, ... token.
    """
    index = torch.arange(documents.numel(), device=documents.device)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    flat = begins.flatten()
    at = index - torch.where(flat, index, 0).cummax(0).values
    text = flat.cumsum(0) - 1
    rank = text.bincount().argsort(descending=True, stable=True).argsort()
    return (at * len(rank) + rank[text]).argsort(), at.bincount().cpu()
