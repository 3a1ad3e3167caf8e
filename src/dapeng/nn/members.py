"""Ensemble members that share their weights: one pass gives M predictions.

Gorishniy, Kotelnikov, Babenko: TabM, 2024 (https://arxiv.org/abs/2410.24210); BatchEnsemble: Wen, Tran, Ba, 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """(B, D) or (B, M, D) -> (B, M, D): each member sees the input through its own signs, at first random."""

    def __init__(self, members: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randint(0, 2, (members, width)).float() * 2 - 1)

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, None] if x.dim() == 2 else x) * self.weight


class MemberLinear(nn.Module):
    """(B, M, D) -> (B, M, A): a linear layer for each member."""

    def __init__(self, members: int, inputs: int, outputs: int):
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias[:, None], x.transpose(0, 1), self.weight).transpose(0, 1)


def head(widths_in: int, members: int, outputs: int) -> nn.Module:
    """A linear layer, or one for each of several members."""
    return nn.Linear(widths_in, outputs) if members == 1 else MemberLinear(members, widths_in, outputs)
