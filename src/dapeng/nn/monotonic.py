"""Which token each frame belongs to, where both go forward together: monotonic alignment search.

Kim et al.: Glow-TTS, 2020 (https://arxiv.org/abs/2005.11129). Every token has at least one frame, and none is skipped.

Legend: B rows, S tokens, F frames, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = -1e9


def aligned(fit: Tensor, tokens: Tensor, frames: Tensor) -> Tensor:
    """(B, S) how many frames each token has on the way through `fit` (B, S, F) whose sum is largest.

    tokens, frames: (B,) how many of each are real, at least one. Of more tokens than frames, the last ones have none.
    """
    size = fit.shape[2]
    tokens = torch.minimum(tokens, frames)
    best = torch.full_like(fit[:, :, 0], LEAST)
    best[:, 0] = fit[:, 0, 0]
    stays = []
    for frame in range(1, size):
        before = torch.cat([torch.full_like(best[:, :1], LEAST), best[:, :-1]], 1)
        stays.append(best >= before)
        best = torch.maximum(best, before) + fit[:, :, frame]
    return _counted(stays, tokens, frames, fit.shape[1], size)


def _counted(stays: list[Tensor], tokens: Tensor, frames: Tensor, width: int, size: int) -> Tensor:
    """Goes back from the last token at the last frame. stays: (B, S) for each frame but the first, whether the one before is of the same token."""
    at = tokens - 1
    counts = torch.zeros(len(tokens), width, dtype=torch.long, device=tokens.device)
    one = torch.ones_like(at)[:, None]
    for frame in range(size - 1, -1, -1):
        real = frame < frames
        counts.scatter_add_(1, at[:, None], one * real[:, None])
        if frame:
            stay = stays[frame - 1].gather(1, at[:, None])[:, 0]
            stay = stay & (at < frame)  # as many frames are left as tokens: from here on each has one
            at = at - (real & ~stay & (at > 0)).long()
    return counts


def spread(x: Tensor, counts: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (B, S, D) repeated over their frames (B, F, D), where in its token each frame lies (B, F, 2), and which are real (B, F).

    Where: the share of the token's frames that are before it, and the logarithm of how many it has. counts: (B, S). size: F.
    """
    ends = counts.cumsum(1)
    frames = torch.arange(size, device=x.device)
    real = frames < ends[:, -1:]
    index = torch.searchsorted(ends, frames.expand(len(x), -1).contiguous(), right=True).clamp(max=x.shape[1] - 1)
    mine = counts.gather(1, index).clamp(min=1).float()
    begun = (ends - counts).gather(1, index)
    share = (frames - begun).clamp(min=0).float() / mine
    where = torch.stack([share, mine.log()], 2)
    wide = index[..., None].expand(-1, -1, x.shape[2])
    return x.gather(1, wide), where, real
