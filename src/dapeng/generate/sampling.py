"""Which token follows: the likeliest, or one drawn, within what the settings leave of the vocabulary.

Fan et al.: top-k, 2018; Holtzman et al.: top-p, 2019 (https://arxiv.org/abs/1904.09751); Nguyen et al.: min-p, 2024
(https://arxiv.org/abs/2407.01082); Keskar et al.: the penalty of repetitions, CTRL, 2019 (https://arxiv.org/abs/1909.05858).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dapeng.data.draws import uniform
from dapeng.generate.expressions import translated

PURPOSE = 31
"""Tells these draws from all others of one seed."""


COLDEST = 1e-4
"""Temperatures below it take the likeliest token: dividing by them leaves the range of numbers."""


@dataclass(frozen=True)
class Sampling:
    """How a text is written.

    temperature: 0 takes the likeliest token always. top_k: only so many of the likeliest, 0 all. top_p: only the likeliest that
    together have this probability. min_p: only those with this share of the likeliest's. repetition_penalty: divides what
    speaks for a token that is there already. stop: texts at which it ends; they are left out. max_tokens: the most to write.
    regex, schema: what the whole text is kept to, an expression of `re` or a JSON schema; it ends where that is complete.
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    regex: str | None = None
    schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        whole = (("max_tokens", self.max_tokens), ("top_k", self.top_k), ("seed", self.seed))
        wrong = [
            *((not isinstance(v, int), name, "a whole number", v) for name, v in whole),
            (not isinstance(self.stop, (tuple, list)), "stop", "a list of texts", self.stop),
            (not isinstance(self.regex, (str, type(None))), "regex", "a regular expression", self.regex),
            (not isinstance(self.schema, (Mapping, type(None))), "schema", "a JSON schema, {...}", self.schema),
        ]
        for found, name, expected, value in wrong:
            if found:
                raise ValueError(f"{name}: expected {expected}, found {value!r}")
        wrong = [
            (self.max_tokens < 1, "max_tokens", "at least 1", self.max_tokens),
            (not 0 <= self.temperature <= 100, "temperature", "from 0 to 100", self.temperature),
            (self.top_k < 0, "top_k", "0 or more", self.top_k),
            (not 0 < self.top_p <= 1, "top_p", "above 0, at most 1", self.top_p),
            (not 0 <= self.min_p <= 1, "min_p", "from 0 to 1", self.min_p),
            (
                not 0 < self.repetition_penalty <= 100,
                "repetition_penalty",
                "above 0, at most 100",
                self.repetition_penalty,
            ),
            (any(not s for s in self.stop), "stop", "texts that are not empty", self.stop),
        ]
        for found, name, expected, value in wrong:
            if found:
                raise ValueError(f"{name}: expected {expected}, found {value!r}")
        self._check_shape()

    def _check_shape(self) -> None:
        """What the whole text is kept to is one thing, and can be kept to."""
        if self.regex is not None and self.schema is not None:
            raise ValueError("regex, schema: a text is kept to one of them, found both")
        if self.stop and (self.regex is not None or self.schema is not None):
            raise ValueError("stop: a text that is kept to an expression or a schema ends where that is complete")
        if self.regex is not None:
            try:
                translated(self.regex)
            except ValueError as error:
                raise ValueError(f"regex: {error}") from None

    @property
    def greedy(self) -> bool:
        return self.temperature < COLDEST or self.top_k == 1


def chosen(
    logits: Tensor,
    settings: Sequence[Sampling],
    written: Sequence[Sequence[int]],
    places: Sequence[int],
    never: Sequence[int] = (),
    allowed: Sequence[Tensor | None] = (),
) -> tuple[Tensor, Tensor]:
    """(B, V) -> the token of each row (B,), and its log-probability (B,) before anything was left out.

    written: the tokens that a row has so far, prompt included. places: how many were written, which with the row's seed decides
    the draw: it doesn't depend on which other rows there are. never: tokens that are not taken. allowed: of each row (V,) bool, the only ones that are; None all.
    """
    shaped = logits
    if any(s.repetition_penalty != 1 for s in settings):
        shaped = _penalised(logits, settings, written)
    kept = {row: mask for row, mask in enumerate(allowed) if mask is not None}
    if kept:
        index = torch.tensor(list(kept), device=logits.device)
        left_out = ~torch.stack(list(kept.values())).to(logits.device)
        shaped = shaped.index_copy(0, index, shaped[index].masked_fill(left_out, float("-inf")))
    left_away = torch.tensor(never, dtype=torch.int64, device=logits.device)
    tokens = _likeliest(shaped, left_away)
    drawn = [row for row, s in enumerate(settings) if not s.greedy]
    if drawn:
        index = torch.tensor(drawn, device=logits.device)
        u = [float(uniform(np.zeros(1), 1, PURPOSE, settings[r].seed, places[r])[0, 0]) for r in drawn]
        rows = shaped[index].index_fill(1, left_away, float("-inf"))
        found = _drawn(rows, [settings[r] for r in drawn], torch.tensor(u, device=logits.device))
        tokens = tokens.index_copy(0, index, found)
    # one pass over the vocabulary instead of several: with many rows it would take longer than a small network's step
    return tokens, logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(-1)


def _likeliest(logits: Tensor, never: Tensor) -> Tensor:
    """(B, V) -> (B,) the first of the likeliest tokens that are not left away; rows are copied only where one of those would be it."""
    tokens = logits.max(-1).indices
    again = torch.isin(tokens, never).nonzero()[:, 0]
    if not len(again):
        return tokens
    return tokens.index_copy(0, again, logits[again].index_fill(1, never, float("-inf")).max(-1).indices)


def _penalised(logits: Tensor, settings: Sequence[Sampling], written: Sequence[Sequence[int]]) -> Tensor:
    out = logits.clone()
    for row, (s, ids) in enumerate(zip(settings, written)):
        if s.repetition_penalty != 1 and len(ids):
            index = torch.tensor(sorted(set(ids)), device=logits.device)
            values = out[row, index]
            out[row, index] = torch.where(values > 0, values / s.repetition_penalty, values * s.repetition_penalty)
    return out


def _drawn(logits: Tensor, settings: Sequence[Sampling], u: Tensor) -> Tensor:
    """The token at which the sum of the probabilities, likeliest first, passes u (B,)."""

    def column(name: str) -> Tensor:
        return torch.tensor([float(getattr(s, name)) for s in settings], device=logits.device)[:, None]

    p, order = (logits / column("temperature")).softmax(-1).sort(stable=True, dim=-1, descending=True)
    places = torch.arange(p.shape[1], device=logits.device)
    top_k = column("top_k")
    left = (places < torch.where(top_k > 0, top_k, p.shape[1])) & (p >= column("min_p") * p[:, :1])
    left &= (p.cumsum(-1) - p) < column("top_p")
    left[:, 0] = True
    mass = (p * left).double().cumsum(-1)
    at = (mass <= (u[:, None].double() * mass[:, -1:])).sum(-1, keepdim=True)
    return order.gather(1, at.clamp(max=p.shape[1] - 1))[:, 0]
