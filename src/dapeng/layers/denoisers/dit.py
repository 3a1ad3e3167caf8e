"""A Transformer over patches that says what is noise in a picture.

Peebles, Xie: Scalable Diffusion Models with Transformers (DiT), 2022 (https://arxiv.org/abs/2212.09748): norms without weights of their own,
scaled, shifted and gated by time and condition, all of which begin at zero (adaLN-Zero); positions as in Vaswani et al., in two axes.

Legend: B rows, T patches, D width, H heads, C channels, Y X picture.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import DenoiserOptions, denoisers
from dapeng.nn.denoising import Folded, Told


@denoisers
class DiT(DenoiserOptions):
    """A diffusion Transformer: patches of the noisy picture look at each other, told of time and condition in every norm.

    Paper: Peebles and Xie, 2022, https://arxiv.org/abs/2212.09748
    Example: `outputs: {picture: {type: image, decoder: {type: flow, denoiser: {type: dit, embed_dim: 192, num_layers: 6}}}}`
    """

    type: Literal["dit"] = "dit"
    tiny: ClassVar[dict[str, Any]] = {"embed_dim": 16, "num_layers": 1, "num_heads": 2, "patch": 4}
    embed_dim: int = Field(192, ge=4, le=65_536)
    """Width of a patch's vector; divisible by num_heads and by 4."""
    num_layers: int = Field(6, ge=1, le=1000)
    """Blocks, one on the other."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads of a block."""
    patch: int | Literal["auto"] = Field("auto", ge=1, le=64)
    """Side of a patch in pixels. auto: 2 for pictures of less than 16 pixels, 4 up to 64, 8 above."""

    def build(self, shape: tuple[int, int, int], condition: int | None) -> nn.Module:
        if self.embed_dim % self.num_heads or self.embed_dim % 4:
            what = f"{self.embed_dim} is not divisible by num_heads ({self.num_heads}) and by 4"
            raise SpecError(Problem("decoder.denoiser.embed_dim", what, "embed_dim=192 num_heads=4"))
        side = min(shape[1:])
        auto = 2 if side < 16 else 4 if side <= 64 else 8
        return PatchTransformer(self, shape, condition, auto if self.patch == "auto" else self.patch)


class DiTBlock(nn.Module):
    """(B, T, D) -> (B, T, D): attention and a perceptron, each scaled, shifted and gated by what is told (B, D)."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads, self.dim = num_heads, dim
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.told = nn.Linear(dim, 6 * dim)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.told(told)[:, None].chunk(6, -1)
        seen = normed(x) * (1 + scale1) + shift1
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(seen).chunk(3, -1))
        x = x + gate1 * self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        seen = normed(x) * (1 + scale2) + shift2
        return x + gate2 * self.down(F.gelu(self.up(seen), approximate="tanh"))


def normed(x: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the last axis."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


class PatchTransformer(nn.Module):
    """What is wanted of a noisy picture (B, C, Y, X) at a time (B,) under a condition (B, K) or none."""

    places: Tensor

    def __init__(self, o: DiT, shape: tuple[int, int, int], condition: int | None, patch: int):
        super().__init__()
        self.folded = Folded(shape, patch, 1)
        self.grid = (self.folded.tall // patch, self.folded.wide // patch)
        folded = shape[0] * patch**2
        self.first = nn.Linear(folded, o.embed_dim)
        self.register_buffer("places", places(*self.grid, o.embed_dim), persistent=False)
        self.told = Told(condition, o.embed_dim)
        self.blocks = nn.ModuleList(DiTBlock(o.embed_dim, o.num_heads) for _ in range(o.num_layers))
        self.last_told, self.last = nn.Linear(o.embed_dim, 2 * o.embed_dim), nn.Linear(o.embed_dim, folded)
        for layer in (self.last_told, self.last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        told = F.silu(self.told(t, condition))
        x = self.first(self.folded.maps(x).flatten(2).mT) + self.places  # (B, T, D)
        for block in self.blocks:
            x = block(x, told)
        shift, scale = self.last_told(told)[:, None].chunk(2, -1)
        maps = self.last(normed(x) * (1 + scale) + shift).mT.unflatten(2, self.grid)
        return self.folded.pictures(maps)


def places(height: int, width: int, dim: int) -> Tensor:
    """(height width, dim): sines and cosines of rows in one half, of columns in the other."""
    rates = torch.exp(torch.arange(dim // 4, dtype=torch.float32) * (-4 * math.log(10_000) / dim))
    down, across = (torch.arange(n, dtype=torch.float32)[:, None] * rates for n in (height, width))
    halves = [torch.cat([a.sin(), a.cos()], 1) for a in (down, across)]
    both = [halves[0][:, None].expand(-1, width, -1), halves[1][None].expand(height, -1, -1)]
    return torch.cat(both, -1).flatten(0, 1)
