"""The Transformer block: pre-norm or post-norm, with or without rotary positions.

Vaswani et al., 2017 (https://arxiv.org/abs/1706.03762); Xiong et al., 2020 (pre-norm); Su et al.: RoFormer, 2021
(https://arxiv.org/abs/2104.09864).

Legend: B rows, T tokens, D width, H heads, K head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class Attention(nn.Module):
    """Self-attention, (B, T, D) -> (B, T, D). `turn` (T, K) cosines and sines where positions are rotary."""

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, bias: Tensor | None, turn: tuple[Tensor, Tensor] | None = None) -> Tensor:
        q, k, v = (
            t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1)
        )  # (B, H, T, K)
        if turn is not None:
            q, k = rotated(q, *turn), rotated(k, *turn)
        mixed = F.scaled_dot_product_attention(q, k, v, bias, self.dropout if self.training else 0.0)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a two-layer perceptron beside the residual: each behind its norm, or (post-norm, 2017) before it.

    width: of the perceptron, 4 D if not given. norm: makes a norm of a width. activation: of the perceptron.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        dropout: float = 0.0,
        width: int | None = None,
        pre_norm: bool = True,
        norm: Norm = nn.LayerNorm,
        activation: nn.Module | None = None,
    ):
        super().__init__()
        self.norm1, self.norm2 = norm(dim), norm(dim)
        self.attention = Attention(dim, num_heads, dropout)
        self.up, self.down = nn.Linear(dim, width or 4 * dim), nn.Linear(width or 4 * dim, dim)
        self.activation = activation or nn.GELU()
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.pre_norm = pre_norm

    def forward(self, x: Tensor, bias: Tensor | None = None, turn: tuple[Tensor, Tensor] | None = None) -> Tensor:
        if self.pre_norm:
            x = x + self.drop(self.attention(self.norm1(x), bias, turn))
            return x + self.drop(self.down(self.activation(self.up(self.norm2(x)))))
        x = self.norm1(x + self.drop(self.attention(x, bias, turn)))
        return self.norm2(x + self.drop(self.down(self.activation(self.up(x)))))


def attend_to(mask: Tensor | None) -> Tensor | None:
    """(B, T) of real tokens -> (B, 1, 1, T) for attention; a row without any attends to all, so that nothing is nan."""
    if mask is None:
        return None
    return (mask | ~mask.any(1, keepdim=True))[:, None, None, :]


def sinusoids(length: int, dim: int) -> Tensor:
    """(length, dim) fixed positions of Vaswani et al., 2017."""
    at = torch.arange(length)[:, None] * torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000.0) / dim))
    return torch.stack([at.sin(), at.cos()], -1).flatten(1)[:, :dim]


def rotations(length: int, dim: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, dim) of rotary positions over an even head width; both halves turn by the same angles."""
    at = torch.arange(length)[:, None] * base ** (-torch.arange(0, dim, 2) / dim)
    angles = torch.cat([at, at], 1)
    return angles.cos(), angles.sin()


def rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """(..., T, K) turned by its position: the two halves of K are the coordinates."""
    first, second = x.chunk(2, -1)
    return x * cosines.to(x.dtype) + torch.cat([-second, first], -1) * sines.to(x.dtype)


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """(B, T, D) -> (B, D), over real tokens; zeros where there are none."""
    if mask is None:
        return x.mean(1)
    m = mask[..., None].to(x.dtype)
    return (x * m).sum(1) / m.sum(1).clamp(min=1)


def pooled_tokens(x: Tensor, mask: Tensor | None, how: str) -> Tensor:
    """(B, T, D) -> (B, D): the mean or the maximum over real tokens, or the first token."""
    if how == "mean":
        return masked_mean(x, mask)
    if how == "first":
        return x[:, 0]
    if mask is None:
        return x.amax(1)
    highest = x.masked_fill(~mask[..., None], float("-inf")).amax(1)
    return torch.where(mask.any(1, keepdim=True), highest, torch.zeros_like(highest))
