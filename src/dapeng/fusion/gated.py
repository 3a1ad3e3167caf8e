"""Inputs added up, each through a gate that looks at all of them.

Arevalo, Solorio, Montes-y-Gómez, González: Gated Multimodal Units for Information Fusion, 2017 (https://arxiv.org/abs/1702.01992).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import ActivationOptions, FusionOptions, activations, fusions
from dapeng.core.registry import DEFAULT
from dapeng.fusion.base import Fusion, token_mask
from dapeng.layers.perceptron import perceptron
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Modules


@fusions
class Gated(FusionOptions):
    """The inputs at one width, added up with weights that the row itself decides.

    Paper: Arevalo et al., 2017, https://arxiv.org/abs/1702.01992
    Example: `fusion: {type: gated, width: 128, modality_dropout: 0.2}`
    """

    type: Literal["gated"] = "gated"
    gives_with_one: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    width: int = Field(256, ge=1, le=65_536)
    """Width to which each input is brought."""
    hidden: list[int] | Literal["auto"] = "auto"
    """Widths of the layers behind; [] for none. auto: none over a single picture or text, else two of 256."""
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT
    dropout: float = Field(0.0, ge=0, lt=1)
    """After each layer."""

    def build(self, widths: dict[str, Widths], absent: set[str]) -> GatedFusion:
        return GatedFusion(widths, absent, self)


class GatedFusion(Fusion):
    """pooled (B, D_i) each -> tanh of a linear layer (B, D), times its gate (B, D), summed -> trunk."""

    shares_are: ClassVar[str] = "what comes through its gate"

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: Gated):
        super().__init__(widths, absent, o.modality_dropout)
        hidden = [] if o.hidden == "auto" else list(o.hidden)
        self.read = Modules({n: nn.Linear(w.pooled or 1, o.width) for n, w in widths.items()})
        self.gate = nn.Linear(sum(w.pooled or 0 for w in widths.values()), o.width * len(widths))
        self.trunk = perceptron(o.width, hidden, o.activation, dropout=o.dropout)
        token_widths = {w.tokens for w in widths.values()}
        self.tokens = token_widths.pop() if len(token_widths) == 1 else None
        self.widths = Widths(pooled=[o.width, *hidden][-1], tokens=self.tokens)

    def shares(self, parts: dict[str, Features]) -> Tensor:
        # a gate alone tells little: it may be open for an input that has learnt to say nothing
        sizes = self.gated(parts).abs().sum(-1)
        return sizes / sizes.sum(1, keepdim=True).clamp(min=torch.finfo(sizes.dtype).tiny)

    def gated(self, parts: dict[str, Features]) -> Tensor:
        """(B, inputs, D): what each input adds."""
        values = torch.stack([self.read[n](self.pooled(n, p)).tanh() for n, p in parts.items()], 1)
        return values * self.gates(parts)

    def gates(self, parts: dict[str, Features]) -> Tensor:
        """(B, inputs, D): they sum to 1 over the inputs."""
        x = torch.cat([self.pooled(n, p) for n, p in parts.items()], -1)
        return self.gate(x).unflatten(-1, (len(parts), -1)).softmax(1)

    def forward(self, parts: dict[str, Features]) -> Features:
        parts = self.thinned(parts)
        x = self.trunk(self.gated(parts).sum(1))
        if not self.tokens:
            return Features(pooled=x)
        spoken = list(parts.values())
        tokens = torch.cat([p.tokens for p in spoken if p.tokens is not None], 1)
        return Features(pooled=x, tokens=tokens, mask=torch.cat([token_mask(p) for p in spoken], 1))
