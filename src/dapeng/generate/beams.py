"""Beam search: the texts with the highest log-probability, where longer ones may be given credit for their length.

Wu et al.: Google's Neural Machine Translation System, 2016 (https://arxiv.org/abs/1609.08144).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dapeng.generate.writing import Steps


@dataclass(frozen=True)
class Found:
    """A text that ended, or was cut. logprob: the sum over its tokens, the end included; score: with credit for its length."""

    ids: list[int]
    logprob: float
    score: float


FIRST_ROOM = 32
"""Tokens that a state has space for at first; it grows."""


@torch.inference_mode()
def beam_search(
    model: Steps,
    begin: Tensor,
    eos: int,
    beams: int,
    max_tokens: int,
    length_penalty: float = 1.0,
    never: Sequence[int] = (),
    **inputs: Any,
) -> list[list[Found]]:
    """The best texts of every row, best first. begin: (B, T) what each begins with; length_penalty: the power of the length that divides.

    never: tokens that are not taken. inputs: what `start` takes, (B, ...). A row is done, and leaves the batch, when none of its texts that
    go on is better than its worst found one, each with credit for the length that it has; longer ones are not waited for.
    """
    state = model.start(len(begin), begin.shape[1] + min(max_tokens, FIRST_ROOM), **inputs)
    logprobs = model.step(begin, state).log_softmax(-1).repeat_interleave(beams, 0)
    state = state.spread(beams)
    size, device = logprobs.shape[-1], logprobs.device
    scores = torch.full((len(begin), beams), float("-inf"), device=device)
    scores[:, 0] = 0.0
    left_out = torch.tensor(never, dtype=torch.int64, device=device)
    found: list[list[Found]] = [[] for _ in begin]
    alive = [Row(row, [[] for _ in range(beams)]) for row in range(len(begin))]
    for length in range(1, max_tokens + 1):
        total = (scores.view(-1, 1) + logprobs).index_fill(1, left_out, float("-inf"))
        best, at = total.view(len(alive), -1).topk(min(2 * beams, beams * size))
        going: list[tuple[Row, list[Next]]] = []
        for slot, (row, each) in enumerate(zip(alive, map(list, map(zip, best.tolist(), at.tolist())))):
            ended, more = _parted(each, size, eos, beams)
            texts = [Found(row.texts[b], s, s / length**length_penalty) for b, s in ended]
            found[row.number] = sorted([*found[row.number], *texts], key=lambda f: -f.score)[:beams]
            if more and not _done(found[row.number], more[0].logprob / length**length_penalty, beams):
                more += [Next(0, eos, float("-inf"))] * (beams - len(more))
                going.append((row, [Next(slot * beams + n.beam, n.token, n.logprob) for n in more]))
        alive = [
            Row(row.number, [[*row.texts[n.beam % beams], n.token] for n in more], [n.logprob for n in more])
            for row, more in going
        ]
        if not alive or length == max_tokens:
            break
        scores = torch.tensor([row.logprobs for row in alive], device=device)
        origins = [n.beam for _, more in going for n in more]
        if origins != list(range(len(logprobs))):
            state = state.take(torch.tensor(origins, device=device))
        tokens = torch.tensor([n.token for _, more in going for n in more], device=device)
        logprobs = model.step(tokens[:, None], state).log_softmax(-1)
    for row in alive:  # cut
        cut = [
            Found(t, s, s / max_tokens**length_penalty) for t, s in zip(row.texts, row.logprobs) if s > float("-inf")
        ]
        found[row.number] = sorted([*found[row.number], *cut], key=lambda f: -f.score)[:beams]
    return found


class Next(NamedTuple):
    """A token that follows one of a row's texts, and the log-probability of both."""

    beam: int
    token: int
    logprob: float


@dataclass(frozen=True)
class Row:
    """A row that goes on: which it is, and its texts so far."""

    number: int
    texts: list[list[int]]
    logprobs: list[float] = field(default_factory=list)


def _parted(
    each: list[tuple[float, int]], size: int, eos: int, beams: int
) -> tuple[list[tuple[int, float]], list[Next]]:
    """Of the best that may follow a row's texts: those that end, with their beam, where they are among the first; and the best that go on."""
    ended: list[tuple[int, float]] = []
    more: list[Next] = []
    for rank, (score, place) in enumerate(each):
        beam, token = divmod(place, size)
        if score == float("-inf"):
            continue
        if token == eos and rank < beams:
            ended.append((beam, score))
        elif token != eos and len(more) < beams:
            more.append(Next(beam, token, score))
    return ended, more


def _done(found: list[Found], hope: float, beams: int) -> bool:
    """Whether the best text that goes on is no better than the worst of those found; one beam ends where the likeliest token is the end."""
    return len(found) == beams and (beams == 1 or hope <= found[-1].score)
