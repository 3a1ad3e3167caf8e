"""What makes one of several inputs; and what is true of every fusion: absence, and inputs that are left out on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import module_key


class Fusion(nn.Module):
    """Features by input -> Features. Owns the trunk, and one learned vector for each input that can be absent.

    widths: the static side of what it gives.
    """

    widths: Widths
    reads_tokens: ClassVar[bool] = False
    """True if what it makes of the pooled features depends on the tokens too."""
    shares_are: ClassVar[str] = ""
    """What `shares` are, in words; empty where there are none."""

    def __init__(self, widths: Mapping[str, Widths], absent: set[str], modality_dropout: float = 0.0):
        super().__init__()
        self.modality_dropout = modality_dropout if len(widths) > 1 else 0.0
        absent = set(widths) if self.modality_dropout else absent
        self.missing = nn.ParameterDict(
            {module_key(n): nn.Parameter(torch.zeros(w.pooled or 1)) for n, w in widths.items() if n in absent}
        )

    def forward(self, parts: dict[str, Features]) -> Features:
        raise NotImplementedError

    def shares(self, parts: dict[str, Features]) -> Tensor | None:
        """(B, inputs): how much of a row comes from each input, 1 in sum; None where the fusion does not weigh them by row."""
        return None

    def thinned(self, parts: dict[str, Features]) -> dict[str, Features]:
        """In training, each row loses each of its inputs with the probability `modality_dropout`, but never all of them."""
        if not (self.training and self.modality_dropout):
            return parts
        pooled = [p.pooled for p in parts.values() if p.pooled is not None]
        there = torch.stack([present(p, pooled[0].shape[0]) for p in parts.values()], 1)  # (B, inputs)
        kept = there & (torch.rand(there.shape, device=there.device) >= self.modality_dropout)
        kept = torch.where(kept.any(1, keepdim=True), kept, there)
        return {name: replace(part, present=kept[:, i]) for i, (name, part) in enumerate(parts.items())}

    def pooled(self, name: str, part: Features) -> Tensor:
        """(B, D) of an input; its learned vector where it is absent."""
        assert part.pooled is not None
        key = module_key(name)
        if key not in self.missing:
            return part.pooled
        blank = self.missing[key].to(part.pooled.dtype)
        if part.present is None:
            return part.pooled + 0 * blank  # the vector gets its (zero) gradient on every step
        return torch.where(part.present[:, None], part.pooled, blank)


def present(part: Features, size: int) -> Tensor:
    """(B,) whether an input is there at all."""
    assert part.pooled is not None
    return torch.ones(size, dtype=torch.bool, device=part.pooled.device) if part.present is None else part.present


def token_mask(part: Features) -> Tensor:
    """(B, T) of what is real; an absent input has no real token."""
    assert part.tokens is not None
    mask = part.mask
    if mask is None:
        mask = torch.ones(part.tokens.shape[:2], dtype=torch.bool, device=part.tokens.device)
    return mask if part.present is None else mask & part.present[:, None]
