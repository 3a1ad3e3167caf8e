"""The Conformer block: half a perceptron, attention by distance, a convolution, the other half.

Gulati et al.: Conformer, 2020 (https://arxiv.org/abs/2005.08100); attention that knows how far apart two frames are: Dai et al.:
Transformer-XL, 2019 (https://arxiv.org/abs/1901.02860).

Legend: B rows, T frames, D width, H heads, K head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Half(nn.Module):
    """A perceptron with four times the width behind a norm, (B, T, D) -> (B, T, D)."""

    def __init__(self, dim: int, width: int, dropout: float):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(dim), nn.Linear(dim, width), nn.Linear(width, dim)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.down(self.drop(F.silu(self.up(self.norm(x))))))


class RelativeAttention(nn.Module):
    """Self-attention whose scores depend on contents and on distance, (B, T, D) -> (B, T, D)."""

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.distance = nn.Linear(dim, dim, bias=False)
        self.of_content = nn.Parameter(torch.zeros(num_heads, dim // num_heads))
        self.of_distance = nn.Parameter(torch.zeros(num_heads, dim // num_heads))
        self.num_heads, self.dropout = num_heads, dropout

    def forward(self, x: Tensor, bias: Tensor | None, distances: Tensor) -> Tensor:
        """bias: (B, 1, 1, T), True is looked at. distances: (2 T - 1, D), of T - 1 frames back first."""
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        places = (
            self.distance(distances).unflatten(-1, (self.num_heads, -1)).permute(1, 2, 0).contiguous()
        )  # (H, K, 2 T - 1)
        far = shifted((q + self.of_distance[:, None]) @ places) * q.shape[3] ** -0.5
        far = far if bias is None else far.masked_fill(~bias, float("-inf"))
        rate = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q + self.of_content[:, None], k, v, far, rate)
        return self.out(mixed.transpose(1, 2).flatten(2))


def shifted(scores: Tensor) -> Tensor:
    """(B, H, T, 2 T - 1) by distance -> (B, H, T, T) by place: of frame t the place T - 1 frames back is t behind the first."""
    at = torch.arange(scores.shape[2], device=scores.device)
    place = (at - at[:, None]) + (scores.shape[2] - 1)
    return scores.gather(3, place.expand(scores.shape[0], scores.shape[1], -1, -1))


def waves(length: int, dim: int, device: torch.device) -> Tensor:
    """(2 T - 1, D): sine and cosine of each distance, from T - 1 frames back to as many ahead."""
    far = torch.arange(length - 1, -length, -1, device=device)[:, None]
    angles = far * torch.exp(torch.arange(0, dim, 2, device=device) * (-math.log(10_000.0) / dim))
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :dim]


class Convolution(nn.Module):
    """Gated, each channel by itself over time, (B, T, D) -> (B, T, D); padding reads as zero."""

    def __init__(self, dim: int, kernel: int, dropout: float, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.gated = nn.Linear(dim, 2 * dim, bias=False)
        self.deep = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False)
        self.norm2 = norm(dim)
        self.out = nn.Linear(dim, dim, bias=False)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = F.glu(self.gated(self.norm(x)), -1)
        x = x if mask is None else x * mask[..., None]
        x = F.silu(
            self.norm2(self.deep(x.mT)[..., None])[..., 0]
        ).mT  # before it is turned: torch.export compares strides
        return self.drop(self.out(x))


class ConformerBlock(nn.Module):
    """(B, T, D) -> (B, T, D). norm: makes what normalises the convolution's channels, as maps (B, D, T, 1)."""

    def __init__(self, dim: int, num_heads: int, kernel: int, dropout: float, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.first, self.second = Half(dim, 4 * dim, dropout), Half(dim, 4 * dim, dropout)
        self.attention = RelativeAttention(dim, num_heads, dropout)
        self.convolution = Convolution(dim, kernel, dropout, norm)
        self.norm = nn.LayerNorm(dim)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None, bias: Tensor | None, distances: Tensor) -> Tensor:
        x = x + 0.5 * self.first(x)
        x = x + self.drop(self.attention(x, bias, distances))
        x = x + self.convolution(x, mask)
        return self.norm(x + 0.5 * self.second(x))
