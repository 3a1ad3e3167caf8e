"""Which places of a map learn which box: those that find it best already, task-aligned.

Feng et al.: TOOD, 2021 (https://arxiv.org/abs/2108.07755). A place is a candidate for a box in which its centre lies; of these, the ones
whose score and overlap together are best learn it, and how well they do is what their score is to become.

Legend: B rows, N true boxes, P places, A classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dapeng.nn.boxes import overlap


class Assigned(NamedTuple):
    """box: (B, P) the number of the box that each place learns. taken: (B, P) whether it learns one. share: (B, P) what its score is to be."""

    box: Tensor
    taken: Tensor
    share: Tensor


@torch.no_grad()
def assigned(
    scores: Tensor,
    found: Tensor,
    centres: Tensor,
    reach: Tensor,
    boxes: Tensor,
    codes: Tensor,
    mask: Tensor,
    places: int = 10,
    alpha: float = 0.5,
    beta: float = 6.0,
) -> Assigned:
    """scores (B, P, A) from 0 to 1 and boxes found (B, P, 4); centres (P, 2) and reach (P,), half a stride; true boxes (B, N, 4), their
    codes and mask (B, N). A box smaller than a stride is widened to it, so that some centre lies in it.
    """
    middle, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
    far = (centres[None, None] - middle[:, :, None]).abs()  # (B, N, P, 2)
    inside = (far < torch.maximum(half[:, :, None], reach[None, None, :, None])).all(-1) & mask[..., None]
    over = overlap(boxes, found) * inside  # (B, N, P)
    given = scores.mT.gather(1, codes[..., None].expand(-1, -1, scores.shape[1]))  # (B, N, P)
    fit = given.clamp(min=1e-9) ** alpha * over**beta * inside
    count = min(places, fit.shape[2])
    least = fit.topk(count, 2).values[..., -1:]
    chosen = inside & (fit >= least) & (fit > 0)
    rival = torch.where(chosen, over, torch.full_like(over, -1.0))
    box = rival.argmax(1)  # a place that several boxes want learns the one that it overlaps most
    chosen = chosen & (torch.arange(fit.shape[1], device=fit.device)[None, :, None] == box[:, None])
    best, most = (fit * chosen).amax(2, keepdim=True), (over * chosen).amax(2, keepdim=True)
    share = (fit * chosen / best.clamp(min=1e-9) * most).amax(1)
    return Assigned(box, chosen.any(1), share)
