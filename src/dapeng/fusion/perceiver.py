"""A few vectors that look at what all inputs say, again and again, and change by what they see.

Jaegle et al.: Perceiver, 2021 (https://arxiv.org/abs/2103.03206); a question that looks at a picture several times: Yang et al.: Stacked
Attention Networks, 2015 (https://arxiv.org/abs/1511.02274).

Legend: B rows, T tokens, L latents, D width, H heads, K head width.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import fusions
from dapeng.fusion.base import present
from dapeng.fusion.tokens import AttendingOptions, TokenFusion, trunk
from dapeng.nn.attention import Block, attend_to
from dapeng.nn.features import Features, Widths


@fusions
class Perceiver(AttendingOptions):
    """A few vectors, one of each input and some learned ones, look at the tokens of all inputs, layer by layer: for questions on pictures.

    Cheaper than attention of all tokens to all, and each look may ask for what the last one found.

    Paper: Jaegle et al., 2021, https://arxiv.org/abs/2103.03206
    Example: `fusion: {type: perceiver, num_latents: 2, num_layers: 4}`
    """

    type: Literal["perceiver"] = "perceiver"
    num_latents: int = Field(2, ge=1, le=10_000)
    """Learned vectors; each input's pooled vector joins them."""
    num_layers: int = Field(4, ge=1, le=1000)
    """Looks: each is attention to the tokens, then attention of the vectors among themselves."""

    def build(self, widths: dict[str, Widths], absent: set[str]) -> PerceiverFusion:
        return PerceiverFusion(widths, absent, self)


class Look(nn.Module):
    """Attention of latents (B, L, D) to tokens (B, T, D), beside the residual."""

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.norm = nn.LayerNorm(dim)
        self.query, self.key_value, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, tokens: Tensor, bias: Tensor | None) -> Tensor:
        parts = (self.query(self.norm(x)), *self.key_value(tokens).chunk(2, -1))
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in parts)  # (B, H, L or T, K)
        seen = F.scaled_dot_product_attention(q, k, v, bias, self.dropout if self.training else 0.0)
        return x + self.out(seen.transpose(1, 2).flatten(2))


class PerceiverFusion(TokenFusion):
    """[learned vectors; per input: its pooled vector] (B, L, D), tokens (B, T, D) -> looks -> pooled (B, D), their mean; tokens (B, L, D)."""

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: Perceiver):
        super().__init__(widths, absent, o)
        self.latents = nn.Parameter(0.02 * torch.randn(o.num_latents, o.embed_dim))
        self.ready = nn.LayerNorm(o.embed_dim)
        self.looks = nn.ModuleList(Look(o.embed_dim, o.num_heads, o.dropout) for _ in range(o.num_layers))
        self.blocks = nn.ModuleList(Block(o.embed_dim, o.num_heads, o.dropout) for _ in range(o.num_layers))
        self.norm = nn.LayerNorm(o.embed_dim)
        self.trunk, width = trunk(o)
        self.widths = Widths(pooled=width, tokens=o.embed_dim)

    def forward(self, parts: dict[str, Features]) -> Features:
        parts = self.thinned(parts)
        wholes = self.wholes(parts)
        x = torch.cat([self.latents.expand(wholes.shape[0], -1, -1), wholes], 1)  # (B, L, D)
        seen, masks = self.spoken(parts)
        tokens = self.ready(torch.cat(seen, 1) if seen else x)  # without tokens they look at each other
        bias = attend_to(torch.cat(masks, 1)) if seen else None
        for look, block in zip(self.looks, self.blocks):
            x = block(look(x, tokens, bias))
        x = self.norm(x)
        there = [present(p, x.shape[0]) for p in parts.values()]
        real = torch.ones(x.shape[0], self.latents.shape[0], dtype=torch.bool, device=x.device)
        return Features(pooled=self.trunk(x.mean(1)), tokens=x, mask=torch.cat([real, torch.stack(there, 1)], 1))
