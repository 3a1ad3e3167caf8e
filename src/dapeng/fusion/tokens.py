"""What fusions share that read the tokens of all inputs: columns of a table, places of a picture, words.

Legend: B rows, T tokens, D width.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.kinds import ActivationOptions, FusionOptions, activations
from dapeng.core.registry import DEFAULT
from dapeng.fusion.base import Fusion, token_mask
from dapeng.layers.perceptron import perceptron
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Modules, module_key


class TokenFusionOptions(FusionOptions):
    """Options of a fusion that brings the tokens of all inputs to one width."""

    gives_with_one: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    embed_dim: int = Field(128, ge=1, le=65_536)
    """Width to which every token is brought."""
    num_layers: int = Field(2, ge=1, le=1000)
    """Blocks, one on the other."""
    hidden: list[int] | Literal["auto"] = "auto"
    """Widths of the layers behind; [] for none. auto: none over a single picture or text, else two of 256."""
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT
    """Of the layers behind."""
    dropout: float = Field(0.0, ge=0, lt=1)


class AttendingOptions(TokenFusionOptions):
    """Options of a fusion by attention over such tokens."""

    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads of a block; divides embed_dim."""

    @model_validator(mode="after")
    def _divides(self) -> AttendingOptions:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self


class TokenFusion(Fusion):
    """Brings each input's pooled vector and its tokens to the width embed_dim, and tells tokens of different inputs apart."""

    reads_tokens: ClassVar[bool] = True

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: TokenFusionOptions):
        super().__init__(widths, absent, o.modality_dropout)
        self.whole = Modules({n: nn.Linear(w.pooled or 1, o.embed_dim) for n, w in widths.items()})
        self.each = Modules({n: nn.Linear(w.tokens, o.embed_dim) for n, w in widths.items() if w.tokens})
        # which input a token comes from
        self.source = nn.ParameterDict(
            {module_key(n): nn.Parameter(0.02 * torch.randn(o.embed_dim)) for n in self.each}
        )

    def wholes(self, parts: dict[str, Features]) -> Tensor:
        """(B, inputs, D) of what each input says as a whole."""
        return torch.stack([self.whole[n](self.pooled(n, p)) for n, p in parts.items()], 1)

    def spoken(self, parts: dict[str, Features]) -> tuple[list[Tensor], list[Tensor]]:
        """Tokens (B, T, D) of each input that has some, and which of them are real (B, T)."""
        those = {n: p for n, p in parts.items() if n in self.each}
        tokens = [self.each[n](p.tokens) + self.source[module_key(n)] for n, p in those.items()]
        return tokens, [token_mask(p) for p in those.values()]


def trunk(o: TokenFusionOptions) -> tuple[nn.Sequential, int]:
    """The layers behind, (B, embed_dim) -> (B, width), and their width."""
    hidden = [] if o.hidden == "auto" else list(o.hidden)
    return perceptron(o.embed_dim, hidden, o.activation, dropout=o.dropout), [o.embed_dim, *hidden][-1]
