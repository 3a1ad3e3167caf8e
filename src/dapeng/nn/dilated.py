"""Residual convolutions over tokens, each layer looking further than the one before it.

Strubell et al.: Fast and Accurate Entity Recognition with Iterated Dilated Convolutions, 2017
(https://arxiv.org/abs/1702.02098); gates as in Dauphin et al.: Language Modeling with Gated Convolutional Networks, 2017.

Legend: B rows, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Dilated(nn.Module):
    """A norm, dropout, and a gated convolution beside the residual, (B, T, D) -> (B, T, D); padding reads as zero."""

    def __init__(self, dim: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.convolution = nn.Conv1d(dim, 2 * dim, kernel, padding=dilation * (kernel // 2), dilation=dilation)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.drop(self.norm(x))
        y = y if mask is None else y * mask[..., None]  # what is behind a text changes nothing in it
        return x + F.glu(self.convolution(y.mT).mT, -1)


class DilatedStack(nn.Module):
    """Such layers, one for each dilation, and a norm at the end."""

    def __init__(self, dim: int, kernel: int, dilations: Sequence[int], dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(Dilated(dim, kernel, d, dropout) for d in dilations)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)
