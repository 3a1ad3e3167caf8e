"""Inputs side by side, then a multi-layer perceptron: the network of a table.

With members, the perceptron is an ensemble with shared weights: Gorishniy et al.: TabM, 2024 (https://arxiv.org/abs/2410.24210).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import FusionOptions, fusions
from dapeng.fusion.base import Fusion
from dapeng.nn.features import Features, Widths
from dapeng.nn.layers import ACTIVATIONS
from dapeng.nn.members import Scale
from dapeng.nn.tables import module_key


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
    activation: Literal["relu", "sigmoid", "tanh", "gelu", "silu"] = "relu"
    dropout: float = Field(0.0, ge=0, lt=1)
    """After each layer of the trunk."""
    norm: Literal["none", "layer"] = "none"
    members: int = Field(1, ge=1, le=256)
    """Ensemble members that share the trunk's weights (TabM)."""

    def build(self, widths: dict[str, Widths], absent: set[str]) -> ConcatFusion:
        return ConcatFusion(widths, absent, self)


class ConcatFusion(Fusion):
    """pooled (B, sum of D) -> trunk -> (B, D) or (B, M, D); tokens one after the other; maps of a single picture."""

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: Concat):
        super().__init__()
        hidden = [] if o.hidden == "auto" else list(o.hidden)
        self.missing = nn.ParameterDict(
            {module_key(n): nn.Parameter(torch.zeros(w.pooled or 1)) for n, w in widths.items() if n in absent}
        )
        width = sum(w.pooled or 0 for w in widths.values())
        self.members = o.members
        self.signs = Scale(o.members, width) if o.members > 1 else None
        layers: list[nn.Module] = []
        pooled = width
        for size in hidden:
            layers.append(nn.Linear(pooled, size))
            if o.norm == "layer":
                layers.append(nn.LayerNorm(size))
            layers.append(ACTIVATIONS[o.activation]())
            if o.members > 1:
                layers.append(Scale(o.members, size))
            if o.dropout:
                layers.append(nn.Dropout(o.dropout))
            pooled = size
        self.trunk = nn.Sequential(*layers)
        token_widths = {w.tokens for w in widths.values() if w.tokens}
        only = next(iter(widths.values())) if len(widths) == 1 else None
        self.joined = len(token_widths) == 1 and only is None
        self.widths = Widths(
            pooled=pooled,
            tokens=token_widths.pop() if len(token_widths) == 1 else None,
            maps=only.maps if only else (),
            aligned=bool(only and only.aligned),
            members=o.members,
        )

    def forward(self, parts: dict[str, Features]) -> Features:
        pooled = [self._pooled(name, part) for name, part in parts.items()]
        x = torch.cat(pooled, -1) if len(pooled) > 1 else pooled[0]
        x = self.trunk(x if self.signs is None else self.signs(x))
        if len(parts) == 1:
            only = next(iter(parts.values()))
            return replace(only, pooled=x, mask=_present_mask(only), present=None)
        if self.joined:
            spoken = [p for p in parts.values() if p.tokens is not None]
            masks = [_mask(p) for p in spoken]
            return Features(pooled=x, tokens=torch.cat([p.tokens for p in spoken], 1), mask=torch.cat(masks, 1))  # type: ignore[misc]
        return Features(pooled=x)

    def _pooled(self, name: str, part: Features) -> Tensor:
        assert part.pooled is not None
        key = module_key(name)
        if key not in self.missing:
            return part.pooled
        blank = self.missing[key].to(part.pooled.dtype)
        if part.present is None:
            return part.pooled + 0 * blank  # the vector gets its (zero) gradient on every step
        return torch.where(part.present[:, None], part.pooled, blank)


def _mask(part: Features) -> Tensor:
    """(B, T) of what is real; an absent input has no real token."""
    assert part.tokens is not None
    mask = part.mask
    if mask is None:
        mask = torch.ones(part.tokens.shape[:2], dtype=torch.bool, device=part.tokens.device)
    return mask if part.present is None else mask & part.present[:, None]


def _present_mask(part: Features) -> Tensor | None:
    return part.mask if part.tokens is None or part.present is None else _mask(part)
