"""Inputs side by side, then a multi-layer perceptron: the network of a table.

With members, the perceptron is an ensemble with shared weights: Gorishniy et al.: TabM, 2024 (https://arxiv.org/abs/2410.24210).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import ActivationOptions, FusionOptions, NormOptions, activations, fusions, norms
from dapeng.core.registry import DEFAULT
from dapeng.fusion.base import Fusion, token_mask
from dapeng.nn.features import Features, Widths
from dapeng.nn.members import Scale


@fusions
class Concat(FusionOptions):
    """Inputs side by side, then full layers.

    Paper (members): Gorishniy et al., 2024, https://arxiv.org/abs/2410.24210
    Example: `fusion: {type: concat, hidden: [256, 256], dropout: 0.1}`
    """

    type: Literal["concat"] = "concat"
    gives_with_one: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    hidden: list[int] | Literal["auto"] = "auto"
    """Widths of the trunk's layers; [] for none. auto: none over a single picture or text, else two of 256."""
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT
    dropout: float = Field(0.0, ge=0, lt=1)
    """After each layer of the trunk."""
    norm: Annotated[NormOptions, norms.choice("rows", default="none")] = DEFAULT
    members: int = Field(1, ge=1, le=256)
    """Ensemble members that share the trunk's weights (TabM)."""

    def build(self, widths: dict[str, Widths], absent: set[str]) -> ConcatFusion:
        return ConcatFusion(widths, absent, self)


class ConcatFusion(Fusion):
    """pooled (B, sum of D) -> trunk -> (B, D) or (B, M, D); tokens one after the other; maps of a single picture."""

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: Concat):
        super().__init__(widths, absent, o.modality_dropout)
        hidden = [] if o.hidden == "auto" else list(o.hidden)
        width = sum(w.pooled or 0 for w in widths.values())
        self.members = o.members
        self.signs = Scale(o.members, width) if o.members > 1 else None
        self.trunk = _trunk(width, hidden, o)
        token_widths = {w.tokens for w in widths.values() if w.tokens}
        only = next(iter(widths.values())) if len(widths) == 1 else None
        self.joined = len(token_widths) == 1 and only is None
        self.widths = Widths(
            pooled=[width, *hidden][-1],
            tokens=token_widths.pop() if len(token_widths) == 1 else None,
            maps=only.maps if only else (),
            aligned=bool(only and only.aligned),
            stride=only.stride if only else 1,
            seconds=only.seconds if only else 0.0,
            members=o.members,
        )

    def forward(self, parts: dict[str, Features]) -> Features:
        parts = self.thinned(parts)
        pooled = [self.pooled(name, part) for name, part in parts.items()]
        x = torch.cat(pooled, -1) if len(pooled) > 1 else pooled[0]
        x = self.trunk(x if self.signs is None else self.signs(x))
        if len(parts) == 1:
            only = next(iter(parts.values()))
            return replace(only, pooled=x, mask=_present_mask(only), present=None)
        if self.joined:
            spoken = [p for p in parts.values() if p.tokens is not None]
            tokens = torch.cat([p.tokens for p in spoken if p.tokens is not None], 1)
            return Features(pooled=x, tokens=tokens, mask=torch.cat([token_mask(p) for p in spoken], 1))
        return Features(pooled=x)


def _trunk(width: int, hidden: list[int], o: Concat) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden:
        layers.append(nn.Linear(width, size))
        if o.norm.type != "none":
            layers.append(o.norm.rows(size))
        layers.append(o.activation.build())
        if o.members > 1:
            layers.append(Scale(o.members, size))
        if o.dropout:
            layers.append(nn.Dropout(o.dropout))
        width = size
    return nn.Sequential(*layers)


def _present_mask(part: Features) -> Tensor | None:
    return part.mask if part.tokens is None or part.present is None else token_mask(part)
