"""Where a passage says what a question says: runs of equal tokens, known by their ids alone.

Chen et al.: Reading Wikipedia to Answer Open-Domain Questions, 2017 (https://arxiv.org/abs/1704.00051, section 3.2: exact match),
here of runs of several tokens, since a Han character by itself says little.

Legend: B rows, T tokens of the passage, J tokens of the question, N lengths of runs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def equal_tokens(passage: Tensor, question: Tensor, mask: Tensor, asked: Tensor, unknown: int | None = None) -> Tensor:
    """(B, T, J) float, 1 where a real token (B, T) of the passage is one (B, J) of the question; an unknown one is none."""
    known = mask if unknown is None else mask & (passage != unknown)
    return ((passage[:, :, None] == question[:, None, :]) & known[:, :, None] & asked[:, None, :]).float()


def shared_runs(equal: Tensor, longest: int) -> Tensor:
    """(B, T, N) float: 1 where a token lies in a run of at least n tokens, n from 1 to `longest`, that the question has too.

    equal: (B, T, J), as `equal_tokens` gives it.
    """
    run, found = equal, []
    for n in range(1, longest + 1):
        if n > 1:  # of n tokens from t and j on: of n - 1 there, and the n-th
            behind = F.pad(equal, (0, n - 1, 0, n - 1)).narrow(1, n - 1, equal.shape[1])
            run = run * behind.narrow(2, n - 1, equal.shape[2])
        begins = run.amax(2)  # (B, T)
        before = F.pad(begins, (n - 1, 0))
        found.append(torch.stack([before.narrow(1, k, equal.shape[1]) for k in range(n)]).amax(0))
    return torch.stack(found, 2)


def spread(x: Tensor, width: int) -> Tensor:
    """(B, T, N) -> the mean over `width` (odd) tokens around each; nothing is beyond the borders."""
    return F.avg_pool1d(x.mT, width, 1, width // 2).mT
