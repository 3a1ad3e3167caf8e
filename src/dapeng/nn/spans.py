"""Stretches of a text: the score of each, the places at which a given one stands, and the best.

Lee et al.: Learning Recurrent Span Representations for Extractive Question Answering, 2016 (https://arxiv.org/abs/1611.01436):
one distribution over all stretches; Sarawagi, Cohen: Semi-Markov Conditional Random Fields, 2004: what each token within adds.

Legend: B rows, T tokens, L longest stretch, A tokens of an answer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NEVER = -1e9
"""Score of a stretch that there is not; finite, so that a text without any gives no nan."""


def span_scores(begin: Tensor, end: Tensor, inside: Tensor, sizes: Tensor, mask: Tensor) -> Tensor:
    """(B, T, L) float32: of the stretch of l + 1 tokens from t on; `NEVER` where it leaves the real tokens.

    begin, end, inside: (B, T) what a token says as the first, as the last, and as any of it. sizes: (L,) what its length says.
    """
    longest = sizes.shape[0]
    inside = inside.float() * mask
    upto = inside.cumsum(1)
    first = begin.float() + inside - upto
    last = windows((end.float() + upto).masked_fill(~mask, NEVER), longest, NEVER)
    scores = first[:, :, None] + last + sizes.float()
    real = mask.float().cumsum(1)
    within = (
        windows(real, longest, NEVER) - (real - mask.float())[:, :, None]
    )  # real tokens of each stretch: all, or it is none
    return scores.masked_fill(within != torch.arange(1, longest + 1, device=mask.device), NEVER)


def windows(x: Tensor, size: int, fill: float) -> Tensor:
    """(B, T) -> (B, T, size): each element and those behind it; `fill` behind the end. By indices, which exports with any T."""
    padded = F.pad(x, (0, size - 1), value=fill)
    at = torch.arange(x.shape[1], device=x.device)[:, None] + torch.arange(size, device=x.device)
    return padded.gather(1, at.flatten().expand(x.shape[0], -1)).unflatten(1, (-1, size))


def places(passage: Tensor, mask: Tensor, answer: Tensor, lengths: Tensor) -> Tensor:
    """(B, T) bool: where the first `lengths` (B,) ids of an answer (B, A) stand in the passage (B, T); an empty one nowhere."""
    longest = answer.shape[1]
    real = torch.where(mask, passage, torch.full_like(passage, -1))
    beyond = torch.arange(longest, device=answer.device) >= lengths[:, None]
    same = (windows(real, longest, -1) == answer[:, None, :]) | beyond[:, None, :]
    return same.all(2) & mask & (lengths > 0)[:, None]


def marginal_nats(scores: Tensor, at: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) negative log-likelihood of any stretch of `lengths` (B,) tokens that begins at one of the places (B, T), and whether
    there is one; 0 where there is none.

    Clark, Gardner: Simple and Effective Multi-Paragraph Reading Comprehension, 2018 (https://arxiv.org/abs/1710.10723, section 3.2).
    """
    longest = scores.shape[2]
    size = (lengths.clamp(1, longest) - 1)[:, None, None].expand(-1, scores.shape[1], 1)
    those = scores.gather(2, size)[:, :, 0]  # (B, T)
    at = at & (those > NEVER / 2) & ((lengths > 0) & (lengths <= longest))[:, None]
    found = at.any(1)
    right = those.masked_fill(~at, NEVER).logsumexp(1)
    nats = scores.flatten(1).logsumexp(1) - right
    return torch.where(found, nats, torch.zeros_like(nats)), found


def best_span(scores: Tensor) -> tuple[Tensor, Tensor]:
    """First token (B,) and number of tokens (B,) of the likeliest stretch; 0 tokens where there is none."""
    score, place = scores.flatten(1).max(1)
    longest = scores.shape[2]
    return place // longest, torch.where(score > NEVER / 2, place % longest + 1, torch.zeros_like(place))
