"""Residual convolutions over tokens, each layer looking further than the one before it.

Strubell et al.: Fast and Accurate Entity Recognition with Iterated Dilated Convolutions, 2017
(https://arxiv.org/abs/1702.02098); dropout of whole channels as in Tompson et al.: Efficient Object Localization, 2015.

Legend: B rows, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Channels(nn.Module):
    """Dropout of channels over a whole text (B, T, D): neighbours can't stand in for each other, and few draws are needed."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return x * F.dropout(torch.ones_like(x[:, :1]), self.rate, self.training) if self.training else x


class Dilated(nn.Module):
    """A norm, dropout of channels, a convolution and ReLU beside the residual, (B, T, D) -> (B, T, D); padding reads as zero."""

    def __init__(self, dim: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.drop = Channels(dropout) if dropout else nn.Identity()
        self.convolution = nn.Conv1d(dim, dim, kernel, padding=dilation * (kernel // 2), dilation=dilation)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.drop(self.norm(x))
        y = y if mask is None else y * mask[..., None]  # what is behind a text changes nothing in it
        return x + F.relu(
            self.convolution(y.mT).mT.contiguous()
        )  # laid as x is: else ReLU's way back is four times slower


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
