"""The stack of blocks that writes: each token sees those before it, and what was kept of them.

Radford et al.: GPT-2, 2019; Touvron et al.: LLaMA, 2023 (https://arxiv.org/abs/2302.13971); Ainslie et al.: grouped-query
attention, 2023 (https://arxiv.org/abs/2305.13245); Henry et al.: query-key normalisation, 2020 (https://arxiv.org/abs/2010.04245);
Jiang et al.: Mixtral, 2024 (https://arxiv.org/abs/2401.04088).

Legend: B rows, T new tokens, S tokens to look at, D width, H heads, G key-value heads, K head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn.attention import attend_to
from dapeng.nn.blockwise import attended, turned

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "relu": F.relu,
    "squared_relu": lambda x: F.relu(x).square(),
}


@dataclass(frozen=True)
class Shape:
    """Sizes and kinds of a stack. hidden: of the perceptron. experts: 0 for a plain perceptron; `active` of them read each token.

    rotary: base of rotary positions, None without. positions: how many are learned, 0 for none. waves: fixed ones (2017), beside
    vectors that are scaled by the root of their width. cross: width of what each block looks at beside the text, None for nothing.
    pre_norm: norms before each part and one at the end; else behind each part.
    """

    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    hidden: int
    norm: Literal["layer", "rms"] = "rms"
    eps: float = 1e-5
    activation: str = "silu"
    gated: bool = True
    bias: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False
    rotary: float | None = 10_000.0
    positions: int = 0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    experts: int = 0
    active: int = 2
    cross: int | None = None
    waves: bool = False
    pre_norm: bool = True

    def norm_of(self, width: int) -> nn.Module:
        return RootNorm(width, self.eps) if self.norm == "rms" else nn.LayerNorm(width, self.eps)


class RootNorm(nn.RMSNorm):
    """RMS norm in the type of what it is given; torch has one kernel for it only where the weight is of that type too."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.weight is not None
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class Cache:
    """Keys and values of what was read, by block: (B, G, room, K), and how much of it (B,)."""

    def __init__(
        self,
        shape: Shape,
        rows: int,
        room: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        size = (rows, shape.kv_heads, room, shape.head_width)
        self.keys = [torch.zeros(size, dtype=dtype, device=device) for _ in range(shape.layers)]
        self.values = [torch.zeros(size, dtype=dtype, device=device) for _ in range(shape.layers)]
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)

    @property
    def room(self) -> int:
        return self.keys[0].shape[2]

    def write(self, layer: int, at: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put (B, G, T, K) at positions `at` (B, T) of every row."""
        rows = torch.arange(len(at), device=at.device)[:, None]
        self.keys[layer][rows, :, at] = keys.transpose(1, 2).to(self.keys[layer].dtype)
        self.values[layer][rows, :, at] = values.transpose(1, 2).to(self.values[layer].dtype)

    def take(self, rows: Tensor) -> Cache:
        """The rows of this index, in its order: beams that go on, requests that stay."""
        taken = object.__new__(Cache)
        taken.keys, taken.values = [k[rows] for k in self.keys], [v[rows] for v in self.values]
        taken.lengths = self.lengths[rows]
        return taken

    def trimmed(self, rows: Tensor) -> Cache:
        """The same, with no more space than was read."""
        filled = int(self.lengths.max())
        taken = object.__new__(Cache)
        taken.keys, taken.values = [k[rows, :, :filled] for k in self.keys], [v[rows, :, :filled] for v in self.values]
        taken.lengths = self.lengths[rows]
        return taken

    def joined(self, other: Cache) -> Cache:
        """The rows of both; the shorter of the two is given the room of the longer."""
        room = max(self.room, other.room)
        both = object.__new__(Cache)
        both.keys = [torch.cat([_roomy(a, room), _roomy(b, room)]) for a, b in zip(self.keys, other.keys)]
        both.values = [torch.cat([_roomy(a, room), _roomy(b, room)]) for a, b in zip(self.values, other.values)]
        both.lengths = torch.cat([self.lengths, other.lengths])
        return both

    def with_room(self, room: int) -> Cache:
        """The same rows with space for so many tokens."""
        wide = object.__new__(Cache)
        wide.keys, wide.values = [_roomy(k, room) for k in self.keys], [_roomy(v, room) for v in self.values]
        wide.lengths = self.lengths
        return wide


def _roomy(x: Tensor, room: int) -> Tensor:
    return x if x.shape[2] >= room else F.pad(x, (0, 0, 0, room - x.shape[2]))


@dataclass(frozen=True)
class View:
    """What the tokens of a pass see. at: (B, T) their positions. bias: (B, 1, T, S) True where seen; None: all that came before.

    cache: filled and read. beside, beside_bias: (B / each, S, C) tokens of the inputs, and which are real; `each` rows share them.
    """

    at: Tensor
    bias: Tensor | None = None
    cache: Cache | None = None
    beside: Tensor | None = None
    beside_bias: Tensor | None = None
    turn: tuple[Tensor, Tensor] | None = None
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    each: int = 1


class CausalAttention(nn.Module):
    """(B, T, D) -> (B, T, D), each token over those before it and itself."""

    def __init__(self, shape: Shape, layer: int):
        super().__init__()
        self.shape, self.layer = shape, layer
        outputs = (shape.heads + 2 * shape.kv_heads) * shape.head_width
        self.qkv = nn.Linear(shape.width, outputs, bias=shape.bias or shape.qkv_bias)
        self.out = nn.Linear(shape.heads * shape.head_width, shape.width, bias=shape.bias)
        self.norm_q = shape.norm_of(shape.head_width) if shape.qk_norm else None
        self.norm_k = shape.norm_of(shape.head_width) if shape.qk_norm else None

    def forward(self, x: Tensor, view: View) -> Tensor:
        s = self.shape
        q, k, v = self.qkv(x).unflatten(-1, (-1, s.head_width)).split([s.heads, s.kv_heads, s.kv_heads], 2)
        if self.norm_q is not None and self.norm_k is not None:
            q, k = self.norm_q(q), self.norm_k(k)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        if view.turn is not None:
            q, k = turned(q, *view.turn), turned(k, *view.turn)
        q, k = q.to(v.dtype), k.to(v.dtype)
        if view.cache is not None:
            view.cache.write(self.layer, view.at, k, v)
            if view.bias is not None:
                seen = view.bias.shape[-1]
                k, v = (t[self.layer][:, :, :seen] for t in (view.cache.keys, view.cache.values))
                q = q.to(k.dtype)
        drop = s.attention_dropout if self.training else 0.0
        mixed = attended(q, k, v, view.bias, drop, causal=view.bias is None or view.cache is None)
        mixed = mixed.transpose(1, 2).flatten(2)
        return self.out(mixed if view.cache is None else mixed.to(x.dtype))


class CrossAttention(nn.Module):
    """(B, T, D) -> (B, T, D), each token over what the encoders read (B, S, C); its keys are worked out once a text."""

    def __init__(self, shape: Shape, layer: int):
        super().__init__()
        assert shape.cross is not None
        self.shape, self.layer = shape, layer
        inner = shape.heads * shape.head_width
        self.query = nn.Linear(shape.width, inner, bias=shape.bias)
        self.kv = nn.Linear(shape.cross, 2 * inner, bias=shape.bias)
        self.out = nn.Linear(inner, shape.width, bias=shape.bias)

    def forward(self, x: Tensor, view: View) -> Tensor:
        s = self.shape
        if self.layer not in view.kept:
            k, v = self.kv(view.beside).unflatten(-1, (2 * s.heads, s.head_width)).transpose(1, 2).chunk(2, 1)
            view.kept[self.layer] = (k, v)
        k, v = view.kept[self.layer]
        q = self.query(x).unflatten(-1, (s.heads, s.head_width)).transpose(1, 2)
        drop = s.attention_dropout if self.training else 0.0
        if view.each > 1:  # beams of a row look at the same tokens: they are so many queries of it
            q = q.unflatten(0, (-1, view.each)).transpose(1, 2).flatten(2, 3)
        mixed = F.scaled_dot_product_attention(q, k, v, view.beside_bias, drop)
        if view.each > 1:
            mixed = mixed.unflatten(2, (view.each, -1)).transpose(1, 2).flatten(0, 1)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """(..., D) -> (..., D): one layer up, gated by another or not, one down."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.activation = ACTIVATIONS[shape.activation]
        self.gate = nn.Linear(shape.width, shape.hidden, bias=shape.bias) if shape.gated else None
        self.up = nn.Linear(shape.width, shape.hidden, bias=shape.bias)
        self.down = nn.Linear(shape.hidden, shape.width, bias=shape.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is None:
            return self.down(self.activation(self.up(x)))
        return self.down(self.activation(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    """(B, T, D) -> (B, T, D): each token is read by the `active` experts that its router likes best, weighed by its liking."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.active = shape.active
        self.router = nn.Linear(shape.width, shape.experts, bias=False)
        self.experts = nn.ModuleList(Perceptron(shape) for _ in range(shape.experts))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        liking = self.router(flat).float().softmax(-1)
        weights, chosen = liking.topk(self.active, -1)
        weights = (weights / weights.sum(-1, keepdim=True)).to(x.dtype)
        out = torch.zeros_like(flat)
        for number, expert in enumerate(
            self.experts
        ):  # one without tokens works on none: its gradient is zero, not missing
            rows, place = torch.where(chosen == number)
            out = out.index_add(0, rows, (expert(flat[rows]) * weights[rows, place, None]).to(out.dtype))
        return out.view_as(x)


class CausalBlock(nn.Module):
    """Attention, what the inputs say, and a perceptron, each behind its norm and beside the residual; or (2017) before it."""

    def __init__(self, shape: Shape, layer: int):
        super().__init__()
        self.norm1, self.norm2 = shape.norm_of(shape.width), shape.norm_of(shape.width)
        self.attention = CausalAttention(shape, layer)
        self.norm_cross = shape.norm_of(shape.width) if shape.cross else None
        self.cross = CrossAttention(shape, layer) if shape.cross else None
        self.mlp = Experts(shape) if shape.experts else Perceptron(shape)
        self.drop = nn.Dropout(shape.dropout) if shape.dropout else nn.Identity()
        self.pre_norm = shape.pre_norm

    def forward(self, x: Tensor, view: View) -> Tensor:
        if not self.pre_norm:
            return self._normed_behind(x, view)
        x = x + self.drop(self.attention(self.norm1(x), view))
        if self.cross is not None and self.norm_cross is not None:
            x = x + self.drop(self.cross(self.norm_cross(x), view))
        return x + self.drop(self.mlp(self.norm2(x)))

    def _normed_behind(self, x: Tensor, view: View) -> Tensor:
        x = self.norm1(x + self.drop(self.attention(x, view)))
        if self.cross is not None and self.norm_cross is not None:
            x = self.norm_cross(x + self.drop(self.cross(x, view)))
        return self.norm2(x + self.drop(self.mlp(x)))


class Causal(nn.Module):
    """Embedded tokens (B, T, D) -> (B, T, D), ready to be compared with the table of tokens."""

    turns: Tensor | None

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.positions = nn.Parameter(0.02 * torch.randn(shape.positions, shape.width)) if shape.positions else None
        self.drop = nn.Dropout(shape.dropout) if shape.dropout else nn.Identity()
        self.blocks = nn.ModuleList(CausalBlock(shape, layer) for layer in range(shape.layers))
        self.norm = shape.norm_of(shape.width) if shape.pre_norm else nn.Identity()
        self.reset()

    def reset(self) -> None:
        """First weights of GPT-2: deviation 0.02, and less for what adds to the residual, the deeper the stack."""
        deep = 0.02 / math.sqrt(2 * self.shape.layers)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=deep if name.endswith(("out", "down")) else 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, view: View) -> Tensor:
        if self.positions is not None:
            x = x + self.positions[view.at]
        if self.shape.waves:
            x = x * self.shape.width**0.5 + waves(view.at, self.shape.width).to(x.dtype)
        view = self._turned(view)
        x = self.drop(x)
        for block in self.blocks:
            x = block(x, view)
        return self.norm(x)

    def _turned(self, view: View) -> View:
        if self.shape.rotary is None:
            return view
        width = self.shape.head_width
        pace = self.shape.rotary ** (-torch.arange(0, width, 2, device=view.at.device) / width)
        angles = view.at[..., None] * pace
        angles = torch.cat([angles, angles], -1)[:, None]  # (B, 1, T, K)
        turn = (angles.cos(), angles.sin())
        return replace(view, turn=turn)


def waves(at: Tensor, width: int) -> Tensor:
    """(B, T) places -> (B, T, D) the fixed positions of Vaswani et al., 2017, for texts of any length."""
    pace = torch.exp(torch.arange(0, width, 2, device=at.device) * (-math.log(10_000.0) / width))
    angles = at[..., None] * pace
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :width]


def plain_view(rows: int, tokens: int, device: torch.device | str = "cpu") -> View:
    """Rows that each are one text from its beginning."""
    return View(torch.arange(tokens, device=device).expand(rows, tokens))


def packed_view(documents: Tensor) -> View:
    """Several texts one behind the other in a row: documents (B, T) says which; each begins anew, and none sees another."""
    tokens = documents.shape[1]
    index = torch.arange(tokens, device=documents.device)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    start = torch.where(begins, index, 0).cummax(1).values
    same = documents[:, :, None] == documents[:, None, :]
    return View(index - start, (same & (index[None, :, None] >= index[None, None, :]))[:, None])


def cached_view(cache: Cache, tokens: int, kept: dict[int, tuple[Tensor, Tensor]] | None = None) -> View:
    """The next so many tokens of every row behind what the cache holds."""
    at = cache.lengths[:, None] + torch.arange(tokens, device=cache.lengths.device)
    seen = torch.arange(int(at.max()) + 1, device=at.device)
    return View(at, (seen <= at[..., None])[:, None], cache, kept=kept if kept is not None else {})


def beside(view: View, tokens: Tensor, mask: Tensor | None) -> View:
    """The same view, with what the encoders read next to it."""
    return replace(view, beside=tokens, beside_bias=attend_to(mask))
