"""Beam search: the texts with the highest log-probability, where longer ones may be given credit for their length.

Wu et al.: Google's Neural Machine Translation System, 2016 (https://arxiv.org/abs/1609.08144).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dapeng.generate.writing import Steps


@dataclass(frozen=True)
class Found:
    """A text that ended, or was cut. logprob: the sum over its tokens, the end included; score: with credit for its length."""

    ids: list[int]
    logprob: float
    score: float


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

    never: tokens that are not taken. inputs: what `start` takes, (B, ...). A row is done when no text that goes on can become better than its worst found one.
    """
    rows = len(begin)
    state = model.start(rows, begin.shape[1] + max_tokens, **inputs)
    logprobs = model.step(begin, state).log_softmax(-1)
    size = logprobs.shape[-1]
    device = logprobs.device
    spread = torch.arange(rows, device=device).repeat_interleave(beams)
    state = state.take(spread)
    scores = torch.full((rows, beams), float("-inf"), device=device)
    scores[:, 0] = 0.0
    logprobs = logprobs[spread]
    texts: list[list[int]] = [[] for _ in range(rows * beams)]
    found: list[list[Found]] = [[] for _ in range(rows)]
    left_out = torch.tensor(never, dtype=torch.int64, device=device)
    for length in range(1, max_tokens + 1):
        total = (scores.view(-1, 1) + logprobs).index_fill(1, left_out, float("-inf"))
        best, at = total.view(rows, -1).topk(min(2 * beams, beams * size))
        origins, tokens, kept = [], [], []
        for row in range(rows):
            going: list[tuple[int, int, float]] = []
            for rank, (score, place) in enumerate(zip(best[row].tolist(), at[row].tolist())):
                beam, token = row * beams + place // size, place % size
                if score == float("-inf"):
                    continue
                if token == eos and rank < beams:
                    found[row].append(Found(texts[beam], score, score / length**length_penalty))
                elif token != eos and len(going) < beams:
                    going.append((beam, token, score))
            found[row] = sorted(found[row], key=lambda f: -f.score)[:beams]
            if _done(found[row], going, beams, max_tokens if length_penalty > 0 else length, length_penalty):
                going = []
            going += [(row * beams, eos, float("-inf"))] * (beams - len(going))
            for beam, token, score in going:
                origins.append(beam)
                tokens.append(token)
                kept.append(score)
        scores = torch.tensor(kept, device=device).view(rows, beams)
        if bool(torch.isinf(scores).all()):
            break
        texts = [texts[o] + [t] for o, t in zip(origins, tokens)]
        if length < max_tokens:
            if origins != list(range(rows * beams)):
                state = state.take(torch.tensor(origins, device=device))
            logprobs = model.step(torch.tensor(tokens, device=device)[:, None], state).log_softmax(-1)
    for row in range(rows):
        cut = [
            Found(texts[row * beams + b], s, s / max_tokens**length_penalty)
            for b, s in enumerate(scores[row].tolist())
            if s != float("-inf")
        ]
        found[row] = sorted([*found[row], *cut], key=lambda f: -f.score)[:beams]
    return found


def _done(found: list[Found], going: list[tuple[int, int, float]], beams: int, longest: int, penalty: float) -> bool:
    """Whether no text that goes on can still beat the worst of those found."""
    if len(found) < beams:
        return False
    if beams == 1:  # the likeliest token was the end
        return True
    hope = max((s for _, _, s in going), default=float("-inf")) / longest**penalty
    return hope <= found[-1].score
