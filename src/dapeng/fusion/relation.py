"""Every pair of objects is looked at beside the question, and what the pairs say is averaged: for how things lie to each other.

Santoro et al.: A simple neural network module for relational reasoning, 2017 (https://arxiv.org/abs/1706.01427). The first layer over a pair is
the sum of a part for each of the two and one for the question, so that it costs as much as there are objects, not pairs.

Legend: B rows, T objects, D width.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import fusions
from dapeng.fusion.tokens import TokenFusion, TokenFusionOptions, trunk
from dapeng.layers.perceptron import perceptron
from dapeng.nn.features import Features, Widths


@fusions
class Relation(TokenFusionOptions):
    """Layers over every pair of a picture's places beside what the inputs say as a whole; their mean goes on: for questions on how things lie.

    Objects are the tokens of pictures; of all inputs where none is a picture; the inputs themselves where none has tokens. Costs as many
    times `embed_dim` as there are pairs: for up to some 100 objects.

    Paper: Santoro et al., 2017, https://arxiv.org/abs/1706.01427
    Example: `fusion: {type: relation, embed_dim: 128, num_layers: 3}`
    """

    type: Literal["relation"] = "relation"
    num_layers: int = Field(3, ge=1, le=1000)
    """Layers over a pair."""

    def build(self, widths: dict[str, Widths], absent: set[str]) -> RelationFusion:
        return RelationFusion(widths, absent, self)


class RelationFusion(TokenFusion):
    """Objects (B, T, D) and what all inputs say (B, D) -> pairs (B, T, T, D) -> tokens (B, T, D), the mean over each one's others; pooled (B, D)."""

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: Relation):
        grids = {n for n, w in widths.items() if w.maps and w.tokens}
        objects = grids or {n for n, w in widths.items() if w.tokens}
        super().__init__({n: w if n in objects else Widths(pooled=w.pooled) for n, w in widths.items()}, absent, o)
        self.first, self.second = nn.Linear(o.embed_dim, o.embed_dim), nn.Linear(o.embed_dim, o.embed_dim, bias=False)
        self.asked = nn.Linear(o.embed_dim, o.embed_dim, bias=False)
        self.begin = o.activation.build()
        self.pairs = perceptron(o.embed_dim, [o.embed_dim] * (o.num_layers - 1), o.activation, dropout=o.dropout)
        self.trunk, width = trunk(o)
        self.widths = Widths(pooled=width, tokens=o.embed_dim)

    def forward(self, parts: dict[str, Features]) -> Features:
        parts = self.thinned(parts)
        wholes = self.wholes(parts)
        tokens, masks = self.spoken(parts)
        x = torch.cat(tokens, 1) if tokens else wholes
        seconds = self.second(x) + self.asked(wholes.mean(1))[:, None]
        pairs = self.pairs(self.begin(self.first(x)[:, :, None] + seconds[:, None]))  # (B, T, T, D)
        mask = torch.cat(masks, 1) if masks else None
        each = mean(pairs, None if mask is None else mask[:, None, :, None])
        return Features(
            pooled=self.trunk(mean(each, None if mask is None else mask[:, :, None])), tokens=each, mask=mask
        )


def mean(x: Tensor, real: Tensor | None) -> Tensor:
    """Over the last axis but one, of what is real; 0 where nothing is."""
    if real is None:
        return x.mean(-2)
    return (x * real).sum(-2) / real.sum(-2).clamp(min=1)
