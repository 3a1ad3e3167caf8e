"""A few vectors that look at what all inputs say, again and again, and change by what they see.

Jaegle et al.: Perceiver, 2021 (https://arxiv.org/abs/2103.03206); a question that looks at a picture several times: Yang et al.: Stacked
Attention Networks, 2015 (https://arxiv.org/abs/1511.02274).

Legend: B rows, T tokens, L latents, D width, H heads, K head width.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.kinds import ActivationOptions, FusionOptions, activations, fusions
from dapeng.core.registry import DEFAULT
from dapeng.fusion.base import Fusion, present, token_mask
from dapeng.layers.perceptron import perceptron
from dapeng.nn.attention import Block, attend_to
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Modules, module_key


@fusions
class Perceiver(FusionOptions):
    """A few vectors, one of each input and some learned ones, look at the tokens of all inputs, layer by layer: for questions on pictures.

    Cheaper than attention of all tokens to all, and each look may ask for what the last one found.

    Paper: Jaegle et al., 2021, https://arxiv.org/abs/2103.03206
    Example: `fusion: {type: perceiver, num_latents: 2, num_layers: 4}`
    """

    type: Literal["perceiver"] = "perceiver"
    gives_with_one: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    embed_dim: int = Field(128, ge=1, le=65_536)
    """Width of the vectors, and to which every token is brought."""
    num_latents: int = Field(2, ge=1, le=10_000)
    """Learned vectors; each input's pooled vector joins them."""
    num_layers: int = Field(4, ge=1, le=1000)
    """Looks: each is attention to the tokens, then attention of the vectors among themselves."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads; divides embed_dim."""
    hidden: list[int] | Literal["auto"] = "auto"
    """Widths of the layers behind; [] for none. auto: none over a single picture or text, else two of 256."""
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT
    """Of the layers behind."""
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Perceiver:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

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


class PerceiverFusion(Fusion):
    """[learned vectors; per input: its pooled vector] (B, L, D), tokens (B, T, D) -> looks -> pooled (B, D), their mean; tokens (B, L, D)."""

    reads_tokens: ClassVar[bool] = True

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: Perceiver):
        super().__init__(widths, absent, o.modality_dropout)
        hidden = [] if o.hidden == "auto" else list(o.hidden)
        self.whole = Modules({n: nn.Linear(w.pooled or 1, o.embed_dim) for n, w in widths.items()})
        self.each = Modules({n: nn.Linear(w.tokens, o.embed_dim) for n, w in widths.items() if w.tokens})
        self.source = nn.ParameterDict(
            {module_key(n): nn.Parameter(0.02 * torch.randn(o.embed_dim)) for n in self.each}
        )
        self.latents = nn.Parameter(0.02 * torch.randn(o.num_latents, o.embed_dim))
        self.ready = nn.LayerNorm(o.embed_dim)
        self.looks = nn.ModuleList(Look(o.embed_dim, o.num_heads, o.dropout) for _ in range(o.num_layers))
        self.blocks = nn.ModuleList(Block(o.embed_dim, o.num_heads, o.dropout) for _ in range(o.num_layers))
        self.norm = nn.LayerNorm(o.embed_dim)
        self.trunk = perceptron(o.embed_dim, hidden, o.activation, dropout=o.dropout)
        self.widths = Widths(pooled=[o.embed_dim, *hidden][-1], tokens=o.embed_dim)

    def forward(self, parts: dict[str, Features]) -> Features:
        parts = self.thinned(parts)
        wholes = torch.stack([self.whole[n](self.pooled(n, p)) for n, p in parts.items()], 1)
        x = torch.cat([self.latents.expand(wholes.shape[0], -1, -1), wholes], 1)  # (B, L, D)
        spoken = {n: p for n, p in parts.items() if n in self.each}
        seen = [self.each[n](p.tokens) + self.source[module_key(n)] for n, p in spoken.items()]
        tokens = self.ready(torch.cat(seen, 1) if seen else x)  # without tokens they look at each other
        bias = attend_to(torch.cat([token_mask(p) for p in spoken.values()], 1)) if seen else None
        for look, block in zip(self.looks, self.blocks):
            x = block(look(x, tokens, bias))
        x = self.norm(x)
        there = [present(p, x.shape[0]) for p in parts.values()]
        real = torch.ones(x.shape[0], self.latents.shape[0], dtype=torch.bool, device=x.device)
        return Features(pooled=self.trunk(x.mean(1)), tokens=x, mask=torch.cat([real, torch.stack(there, 1)], 1))
