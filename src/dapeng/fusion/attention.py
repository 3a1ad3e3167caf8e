"""Everything that the inputs have to say, as one sequence, read by a Transformer.

Gorishniy et al.: Revisiting Deep Learning Models for Tabular Data, 2021 (https://arxiv.org/abs/2106.11959) for columns; Dosovitskiy
et al., 2020, for the token that sums up.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from dapeng.core.kinds import fusions
from dapeng.fusion.tokens import AttendingOptions, TokenFusion, trunk
from dapeng.nn.attention import Block, attend_to
from dapeng.nn.features import Features, Widths


@fusions
class Attention(AttendingOptions):
    """Self-attention over the tokens of all inputs (columns of a table, places of a picture, words) and a summary of each.

    Paper: Gorishniy et al., 2021, https://arxiv.org/abs/2106.11959
    Example: `fusion: {type: attention, num_layers: 2, num_heads: 8}`
    """

    type: Literal["attention"] = "attention"

    def build(self, widths: dict[str, Widths], absent: set[str]) -> AttentionFusion:
        return AttentionFusion(widths, absent, self)


class AttentionFusion(TokenFusion):
    """[summary token; per input: its pooled vector, its tokens] (B, 1 + T, D) -> blocks -> pooled (B, D), tokens (B, T, D)."""

    shares_are: ClassVar[str] = "how much of the summary's attention ends there"

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: Attention):
        super().__init__(widths, absent, o)
        self.summary = nn.Parameter(0.02 * torch.randn(o.embed_dim))
        self.blocks = nn.ModuleList(Block(o.embed_dim, o.num_heads, o.dropout) for _ in range(o.num_layers))
        self.norm = nn.LayerNorm(o.embed_dim)
        self.trunk, width = trunk(o)
        self.widths = Widths(pooled=width, tokens=o.embed_dim if len(self.each) else None)

    def sequence(self, parts: dict[str, Features]) -> tuple[Tensor, Tensor]:
        """Tokens (B, T, D), and which of them are real (B, T)."""
        wholes = self.wholes(parts)
        tokens, masks = self.spoken(parts)
        size = wholes.shape[0]
        x = torch.cat([self.summary.expand(size, 1, -1), wholes, *tokens], 1)
        real = torch.ones(size, 1 + wholes.shape[1], dtype=torch.bool, device=x.device)
        mask: Tensor = torch.cat([real, *masks], 1)
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
