"""Causal attention for training on a processor in bfloat16: plain products over blocks that stay in its cache.

torch's own kernel for processors works out half as much again, and, with the matrix units of new processors, the products
are so fast that what lies between them takes the time. Nothing but what went in is kept for the way back (Dao et al.:
FlashAttention, 2022, https://arxiv.org/abs/2205.14135).

Legend: B rows, H heads, T tokens, K head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dapeng.nn.attention import rotated
from dapeng.nn.transforms import transformed

BYTES = 1 << 20
"""Of the scores that are worked on at once."""
BLOCK = 64
"""Queries of a block: keys that come after all of them are not looked at."""
NEVER = float("-inf")


def attended(
    q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, dropout: float = 0.0, causal: bool = False
) -> Tensor:
    """(B, H, T, K) what queries find among keys and values (B, H or fewer, S, K).

    seen: (B, 1, T, S) or (B, 1, 1, S), True where a query may look; None: everywhere, or, if causal, at itself and what came before.
    A `seen` of packed texts is causal too: it lets nothing look ahead.
    """
    grouped = k.shape[1] != q.shape[1]
    if causal and not dropout and _pays(q, k):
        if grouped:
            k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
        found: Tensor = Blockwise.apply(q.contiguous(), k.contiguous(), v.contiguous(), seen)
        return found
    return F.scaled_dot_product_attention(q, k, v, seen, dropout, is_causal=causal and seen is None, enable_gqa=grouped)


def _pays(q: Tensor, k: Tensor) -> bool:
    return _trained_here(q) and q.dtype == torch.bfloat16 and q.shape[2] == k.shape[2]


def _trained_here(x: Tensor) -> bool:
    """True on a processor, on the way to a gradient, outside what torch traces or transforms."""
    return x.requires_grad and x.device.type == "cpu" and not (transformed() or torch.compiler.is_compiling())


def turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """As `rotated`, with fewer passes over memory where it is trained on a processor. cosines, sines: (..., T, K), halves alike."""
    if not _trained_here(x):
        return rotated(x, cosines, sines)
    found: Tensor = Turned.apply(x, cosines.to(x.dtype), sines.to(x.dtype))
    return found


class Turned(torch.autograd.Function):
    """The two halves of K as coordinates, turned; the gradient is turned back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        ctx.save_for_backward(cosines, sines)
        return _turned(x, cosines, sines, 1.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _turned(grads[0], ctx.saved_tensors[0], ctx.saved_tensors[1], -1.0), None, None


def _turned(x: Tensor, cosines: Tensor, sines: Tensor, way: float) -> Tensor:
    half = x.shape[-1] // 2
    c, s = cosines[..., :half], sines[..., :half]
    first, second = x[..., :half], x[..., half:]
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    torch.mul(first, c, out=out[..., :half]).addcmul_(second, s, value=-way)
    torch.mul(second, c, out=out[..., half:]).addcmul_(first, s, value=way)
    return out


class Blockwise(torch.autograd.Function):
    """Softmax of the products of queries and keys, and its gradient, which works the scores out anew."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        ctx.save_for_backward(q, k, v, seen)
        out = torch.empty_like(q)
        flat, mixed = [t.flatten(0, 1) for t in (q, k, v)], out.flatten(0, 1)
        for rows, block, past, bias in _blocks(q, seen):
            queries, keys, values = flat[0][rows, block], flat[1][rows, past], flat[2][rows, past]
            mixed[rows, block] = torch.bmm(_shares(queries, keys, bias), values)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, seen = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        flat = [t.flatten(0, 1) for t in (q, k, v, grads[0].contiguous())]
        dq = torch.empty_like(flat[0])
        dk, dv = (torch.zeros(t.shape, dtype=torch.float32, device=t.device) for t in flat[1:3])
        for rows, block, past, bias in _blocks(q, seen):
            queries, keys, values, g = (
                flat[0][rows, block],
                flat[1][rows, past],
                flat[2][rows, past],
                flat[3][rows, block],
            )
            p = _shares(queries, keys, bias)
            dv[rows, past] += torch.bmm(p.mT, g)
            ds = torch.ops.aten._softmax_backward_data(torch.bmm(g, values.mT), p, -1, p.dtype)
            dq[rows, block] = torch.bmm(ds, keys)
            dk[rows, past] += torch.bmm(ds.mT, queries)
        return dq.mul_(scale).view_as(q), dk.mul_(scale).to(k.dtype).view_as(k), dv.to(v.dtype).view_as(v), None


def _blocks(q: Tensor, seen: Tensor | None) -> Iterator[tuple[slice, slice, slice, Tensor]]:
    """Rows (of B H), some of their queries, the keys that these may look at, and what is added to the scores of others."""
    size, heads, tokens, _ = q.shape
    some = max(1, BYTES // (heads * BLOCK * tokens * q.element_size()))
    ahead = torch.ones(tokens, tokens, dtype=torch.bool, device=q.device).triu(1)
    plain = torch.zeros(tokens, tokens, dtype=q.dtype, device=q.device).masked_fill_(ahead, NEVER)
    for row in range(0, size, some):
        here = plain
        if seen is not None:
            here = q.new_zeros(()).masked_fill(~seen[row : row + some], NEVER).expand(-1, heads, -1, -1).flatten(0, 1)
        for start in range(0, tokens, BLOCK):
            end = min(start + BLOCK, tokens)
            rows = slice(row * heads, (row + some) * heads)
            yield rows, slice(start, end), slice(0, end), here[..., start:end, :end]


def _shares(queries: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
    """(N, block, past) how much each query takes of each key."""
    return torch.baddbmm(bias, queries, keys.mT, alpha=queries.shape[-1] ** -0.5).softmax(-1)
