"""A passage read with a question in mind: what both share, what of the question each token is like, and what is asked at all.

Chen et al.: Reading Wikipedia to Answer Open-Domain Questions, 2017 (https://arxiv.org/abs/1704.00051): exact match, aligned
question embedding, the question's weighted sum; here with runs of tokens, how dense they lie, and convolutions.

Legend: B rows, T tokens of the passage, J tokens of the question, D width, N lengths of runs, S widths of neighbourhoods.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn.dilated import Channels, DilatedStack
from dapeng.nn.matches import shared_runs, spread

NEIGHBOURHOODS = (7, 21, 61)
"""Tokens within which the shared ones are counted: a clause, a sentence, a paragraph."""


class PassageReader(nn.Module):
    """Tokens (B, T, Dp) of the passage and (B, J, Dq) of the question -> (B, T, D) of the passage, and (B, D) what is asked."""

    def __init__(
        self, widths: tuple[int, int], dim: int, longest: int, kernel: int, dilations: Sequence[int], dropout: float
    ):
        super().__init__()
        self.longest = longest
        self.told, self.asked = nn.Linear(widths[0], dim), nn.Linear(widths[1], dim)
        self.weight = nn.Linear(dim, 1)
        self.telling = nn.Linear(widths[0], 1)
        features = longest + (longest + 1) * len(NEIGHBOURHOODS)
        self.mixed = nn.Linear(3 * dim + features, dim)
        self.question = nn.Linear(dim, dim)
        self.stack = DilatedStack(dim, kernel, dilations, dropout)
        self.drop = Channels(dropout) if dropout else nn.Identity()

    def forward(
        self, passage: Tensor, question: Tensor, mask: Tensor, asked: Tensor, equal: Tensor
    ) -> tuple[Tensor, Tensor]:
        """mask, asked: (B, T), (B, J) real tokens. equal: (B, T, J) which of both are equal."""
        p, q = self.drop(self.told(passage)), self.drop(self.asked(question))
        what = self._summary(q, asked)
        aligned = self._aligned(p, q, asked)
        matches = self._matches(passage, equal)
        x = self.mixed(torch.cat([p, aligned, p * aligned, matches], 2)) + self.question(what)[:, None]
        return self.stack(F.relu(x), mask), what

    def _summary(self, q: Tensor, asked: Tensor) -> Tensor:
        """(B, D): the question's tokens, weighed by what they say; zeros of an empty one."""
        shares = self.weight(q)[:, :, 0].masked_fill(~asked, -1e4).softmax(1) * asked
        return (shares[:, None] @ q)[:, 0]

    def _aligned(self, p: Tensor, q: Tensor, asked: Tensor) -> Tensor:
        """(B, T, D): of the question's tokens what each token of the passage is like."""
        alike = (F.relu(p) @ F.relu(q).mT) * p.shape[-1] ** -0.5
        return (alike.masked_fill(~asked[:, None], -1e4).softmax(2) * asked[:, None]) @ q

    def _matches(self, passage: Tensor, equal: Tensor) -> Tensor:
        """(B, T, N + S N + S): runs that both share, how dense they lie around a token, and the same of telling tokens."""
        runs = shared_runs(equal, self.longest).to(passage.dtype)
        telling = self.telling(passage).sigmoid() * runs[:, :, :1]
        around = torch.cat([runs, telling], 2)
        return torch.cat([runs, *(spread(around, w) * w**0.5 for w in NEIGHBOURHOODS)], 2)
