"""The Transformer block, pre-norm. Vaswani et al., 2017 (https://arxiv.org/abs/1706.03762); Xiong et al., 2020.

Legend: B rows, T tokens, D width, H heads, K head width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention, (B, T, D) -> (B, T, D)."""

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        q, k, v = (
            t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1)
        )  # (B, H, T, K)
        mixed = F.scaled_dot_product_attention(q, k, v, bias, self.dropout if self.training else 0.0)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm and beside the residual."""

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0, ratio: int = 4):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads, dropout)
        self.up, self.down = nn.Linear(dim, ratio * dim), nn.Linear(ratio * dim, dim)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        x = x + self.drop(self.attention(self.norm1(x), bias))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


def attend_to(mask: Tensor | None) -> Tensor | None:
    """(B, T) of real tokens -> (B, 1, 1, T) for attention; a row without any attends to all, so that nothing is nan."""
    if mask is None:
        return None
    return (mask | ~mask.any(1, keepdim=True))[:, None, None, :]


def sinusoids(length: int, dim: int) -> Tensor:
    """(length, dim) fixed positions of Vaswani et al., 2017."""
    at = torch.arange(length)[:, None] * torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000.0) / dim))
    return torch.stack([at.sin(), at.cos()], -1).flatten(1)[:, :dim]


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """(B, T, D) -> (B, D), over real tokens; zeros where there are none."""
    if mask is None:
        return x.mean(1)
    m = mask[..., None].to(x.dtype)
    return (x * m).sum(1) / m.sum(1).clamp(min=1)
