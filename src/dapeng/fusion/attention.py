"""Everything that the inputs have to say, as one sequence, read by a Transformer.

Gorishniy et al.: Revisiting Deep Learning Models for Tabular Data, 2021 (https://arxiv.org/abs/2106.11959) for columns; Dosovitskiy
et al., 2020, for the token that sums up.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.kinds import ActivationOptions, FusionOptions, activations, fusions
from dapeng.core.registry import DEFAULT
from dapeng.fusion.base import Fusion, token_mask
from dapeng.layers.perceptron import perceptron
from dapeng.nn.attention import Block, attend_to
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Modules, module_key


@fusions
class Attention(FusionOptions):
    """Self-attention over the tokens of all inputs (columns of a table, places of a picture, words) and a summary of each.

    Paper: Gorishniy et al., 2021, https://arxiv.org/abs/2106.11959
    Example: `fusion: {type: attention, num_layers: 2, num_heads: 8}`
    """

    type: Literal["attention"] = "attention"
    gives_with_one: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    embed_dim: int = Field(128, ge=1, le=65_536)
    """Width to which every token is brought."""
    num_layers: int = Field(2, ge=1, le=1000)
    """Blocks, one on the other."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads of a block; divides embed_dim."""
    hidden: list[int] | Literal["auto"] = "auto"
    """Widths of the layers behind; [] for none. auto: none over a single picture or text, else two of 256."""
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT
    """Of the layers behind."""
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Attention:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

    def build(self, widths: dict[str, Widths], absent: set[str]) -> AttentionFusion:
        return AttentionFusion(widths, absent, self)


class AttentionFusion(Fusion):
    """[summary token; per input: its pooled vector, its tokens] (B, 1 + T, D) -> blocks -> pooled (B, D), tokens (B, T, D)."""

    reads_tokens: ClassVar[bool] = True
    shares_are: ClassVar[str] = "how much of the summary's attention ends there"

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: Attention):
        super().__init__(widths, absent, o.modality_dropout)
        hidden = [] if o.hidden == "auto" else list(o.hidden)
        self.whole = Modules({n: nn.Linear(w.pooled or 1, o.embed_dim) for n, w in widths.items()})
        self.each = Modules({n: nn.Linear(w.tokens, o.embed_dim) for n, w in widths.items() if w.tokens})
        # which input a token comes from
        self.source = nn.ParameterDict(
            {module_key(n): nn.Parameter(0.02 * torch.randn(o.embed_dim)) for n in self.each}
        )
        self.summary = nn.Parameter(0.02 * torch.randn(o.embed_dim))
        self.blocks = nn.ModuleList(Block(o.embed_dim, o.num_heads, o.dropout) for _ in range(o.num_layers))
        self.norm = nn.LayerNorm(o.embed_dim)
        self.trunk = perceptron(o.embed_dim, hidden, o.activation, dropout=o.dropout)
        self.widths = Widths(pooled=[o.embed_dim, *hidden][-1], tokens=o.embed_dim if len(self.each) else None)

    def sequence(self, parts: dict[str, Features]) -> tuple[Tensor, Tensor]:
        """Tokens (B, T, D), and which of them are real (B, T)."""
        wholes = torch.stack([self.whole[n](self.pooled(n, p)) for n, p in parts.items()], 1)
        spoken = {n: p for n, p in parts.items() if n in self.each}
        tokens = [self.each[n](p.tokens) + self.source[module_key(n)] for n, p in spoken.items()]
        size = wholes.shape[0]
        x = torch.cat([self.summary.expand(size, 1, -1), wholes, *tokens], 1)
        real = torch.ones(size, 1 + wholes.shape[1], dtype=torch.bool, device=x.device)
        mask: Tensor = torch.cat([real, *(token_mask(p) for p in spoken.values())], 1)
        return x, mask

    def shares(self, parts: dict[str, Features]) -> Tensor:
        """Attention rolled out over the blocks: Abnar, Zuidema: Quantifying Attention Flow in Transformers, 2020."""
        x, mask = self.sequence(parts)
        bias = attend_to(mask)
        flow = torch.zeros(x.shape[:2], dtype=x.dtype, device=x.device)  # (B, T): where the summary's attention ends
        flow[:, 0] = 1
        layers = []
        for block in self.blocks:
            layers.append(attention_of(block, x, bias))
            x = block(x, bias)
        for weights in reversed(layers):  # half of a block's output is its input, by the residual
            flow = 0.5 * flow + 0.5 * (flow[:, None] @ weights)[:, 0]
        places = list(range(len(parts)))  # of the input that each token comes from
        for i, (name, part) in enumerate(parts.items()):
            places += [i] * part.tokens.shape[1] if name in self.each and part.tokens is not None else []
        by_input = flow.new_zeros(len(flow), len(parts)).index_add(
            1, torch.tensor(places, device=x.device), flow[:, 1:]
        )
        return by_input / by_input.sum(1, keepdim=True)

    def forward(self, parts: dict[str, Features]) -> Features:
        parts = self.thinned(parts)
        x, mask = self.sequence(parts)
        bias = attend_to(mask)
        for block in self.blocks:
            x = block(x, bias)
        x = self.norm(x)
        first = 1 + len(parts)
        pooled = self.trunk(x[:, 0])
        if self.widths.tokens is None:
            return Features(pooled=pooled)
        return Features(pooled=pooled, tokens=x[:, first:], mask=mask[:, first:])


def attention_of(block: nn.Module, x: Tensor, bias: Tensor | None) -> Tensor:
    """(B, T, T) of a pre-norm block: how much each token attends to each, the mean over its heads."""
    attention: Any = block.attention
    q, k, _ = attention.qkv(block.norm1(x)).chunk(3, -1)  # type: ignore[operator]
    q, k = (t.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for t in (q, k))  # (B, H, T, K)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores.masked_fill(~bias, float("-inf"))
    return scores.softmax(-1).mean(1)
