"""A question looks at places of a picture, one after the other, and sees each from where it looked last.

Yang et al.: Stacked Attention Networks for Image Question Answering, 2015 (https://arxiv.org/abs/1511.02274): the answer of one look is
the question of the next. Here a place is also seen by how it lies to the middle of the last look, so that "next to",
"left of" and "farthest" are one step away (as relative positions are for words: Shaw et al., 2018, https://arxiv.org/abs/1803.02155).

Legend: B rows, T places, D width, H heads, R relations.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from dapeng.core.kinds import ActivationOptions, FusionOptions, activations, fusions
from dapeng.core.registry import DEFAULT
from dapeng.fusion.base import Fusion, token_mask
from dapeng.layers.perceptron import perceptron
from dapeng.nn.attention import masked_mean
from dapeng.nn.features import Features, Widths
from dapeng.nn.tables import Modules, module_key

RELATIONS = 6
"""Numbers that say how a place lies: left-right, up-down, their squares, the squared distance, and what falls with it."""


@fusions
class Gaze(FusionOptions):
    """All inputs together ask, and look at the places of pictures several times, each time from where they looked before.

    Paper: Yang et al., 2015, https://arxiv.org/abs/1511.02274
    Example: `fusion: {type: gaze, num_layers: 3, num_heads: 4}`
    """

    type: Literal["gaze"] = "gaze"
    gives_with_one: ClassVar[frozenset[str]] = frozenset({"pooled"})
    embed_dim: int = Field(128, ge=1, le=65_536)
    """Width of what is asked and of what is seen."""
    num_layers: int = Field(3, ge=1, le=100)
    """Looks."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Places that are looked at at once; divides embed_dim."""
    hidden: list[int] | Literal["auto"] = "auto"
    """Widths of the layers behind; [] for none. auto: none over a single picture or text, else two of 256."""
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT
    """Of the layers behind."""
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Gaze:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        return self

    def build(self, widths: dict[str, Widths], absent: set[str]) -> GazeFusion:
        return GazeFusion(widths, absent, self)


class Look(nn.Module):
    """State (B, D), places (B, T, D), their coordinates (T, 2), where each head looked last (B, H, 2) -> state and places anew."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.place, self.ask = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.lie = nn.Linear(num_heads * RELATIONS, dim)
        self.score = nn.Linear(dim, num_heads)
        self.think = nn.Sequential(nn.Linear((num_heads + 2) * dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, state: Tensor, seen: Tensor, at: Tensor, last: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        asked = self.norm(state)
        lying = relations(at[None, :, None] - last[:, None]).flatten(2)  # (B, T, H R)
        each = F.gelu(self.place(seen) + self.ask(asked)[:, None] + self.lie(lying))  # (B, T, D)
        share = self.score(each).masked_fill(~real[..., None], -1e4).softmax(1).mT  # (B, H, T)
        found = torch.cat([asked, (share @ each).flatten(1), masked_mean(each, real)], 1)
        return state + self.think(found), share @ at


def relations(away: Tensor) -> Tensor:
    """(..., R) of differences of coordinates (..., 2), which lie between -2 and 2."""
    squares = away**2
    far = squares.sum(-1, keepdim=True)
    return torch.cat([away, squares, far, (-8 * far).exp()], -1)


class GazeFusion(Fusion):
    """tokens (B, T, D) and pooled vectors (B, D) of all inputs -> pooled (B, D); tokens, each with what was found.

    Tokens that are the places of a map have its coordinates, from -1 to 1; others lie in the middle.
    """

    reads_tokens: ClassVar[bool] = True

    def __init__(self, widths: dict[str, Widths], absent: set[str], o: Gaze):
        super().__init__(widths, absent, o.modality_dropout)
        hidden = [] if o.hidden == "auto" else list(o.hidden)
        self.num_heads = o.num_heads
        self.whole = Modules({n: nn.Linear(w.pooled or 1, o.embed_dim) for n, w in widths.items()})
        self.each = Modules({n: nn.Linear(w.tokens, o.embed_dim) for n, w in widths.items() if w.tokens})
        self.source = nn.ParameterDict({module_key(n): nn.Parameter(torch.zeros(o.embed_dim)) for n in self.each})
        self.looks = nn.ModuleList(Look(o.embed_dim, o.num_heads) for _ in range(o.num_layers if len(self.each) else 0))
        self.norm = nn.LayerNorm(o.embed_dim)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.trunk = perceptron(o.embed_dim, hidden, o.activation, dropout=o.dropout)
        tokens = o.embed_dim if len(self.each) else None
        self.widths = Widths(pooled=[o.embed_dim, *hidden][-1], tokens=tokens)

    def forward(self, parts: dict[str, Features]) -> Features:
        parts = self.thinned(parts)
        state = torch.stack([self.whole[n](self.pooled(n, p)) for n, p in parts.items()]).sum(0)
        spoken = {n: p for n, p in parts.items() if n in self.each}
        if not spoken:
            return Features(pooled=self.trunk(self.drop(self.norm(state))))
        seen = torch.cat([self.each[n](p.tokens) + self.source[module_key(n)] for n, p in spoken.items()], 1)
        at = torch.cat([coordinates(p) for p in spoken.values()])
        mask = torch.cat([token_mask(p) for p in spoken.values()], 1)
        real = mask | ~mask.any(1, keepdim=True)  # a row without any looks at all, so that nothing is nan
        last = at.new_zeros(1, self.num_heads, 2).expand(state.shape[0], -1, -1)
        for look in self.looks:
            state, last = look(state, seen, at, last, real)
        found = self.drop(self.norm(state))
        return Features(pooled=self.trunk(found), tokens=seen + found[:, None], mask=mask)


def coordinates(part: Features) -> Tensor:
    """(T, 2) of tokens: left to right and top to bottom of a map, if they are its places; else the middle."""
    assert part.tokens is not None
    count = part.tokens.shape[1]
    height, width = part.maps[-1].shape[2:] if part.maps else (0, 0)
    if height * width != count:
        return part.tokens.new_zeros(count, 2)
    y, x = ((torch.arange(n, device=part.tokens.device) + 0.5) * 2 / n - 1 for n in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flatten(0, 1).flip(1).to(part.tokens.dtype)
