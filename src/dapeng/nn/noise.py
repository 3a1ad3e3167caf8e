"""Noise as a function of (seed, row, place): a drawn picture does not depend on the rows that are drawn beside it.

SplitMix64 (Steele, Lea, Flood, 2014) as in `dapeng.data.draws`, on torch's integers, so that it runs where the network runs;
normal numbers by Box and Muller, 1958.

Legend: B rows, N numbers of a row.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _signed(value: int) -> int:
    """64 bits as torch's int64 holds them."""
    return value - (1 << 64) if value >= 1 << 63 else value


GOLDEN, FIRST, SECOND = (_signed(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _shifted(x: Tensor, bits: int) -> Tensor:
    """To the right, zeros coming in (torch's own shift brings the sign in)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, elementwise on int64."""
    x = (x ^ _shifted(x, 30)) * FIRST
    x = (x ^ _shifted(x, 27)) * SECOND
    return x ^ _shifted(x, 31)


def row_bits(rows: Tensor, count: int, seed: int) -> Tensor:
    """(B, count) int64 of rows (B,)."""
    base = mix(mix(rows.long() * GOLDEN + seed) + GOLDEN)
    return mix(base[:, None] + (torch.arange(count, device=rows.device) + 1) * GOLDEN)


def row_normal(rows: Tensor, shape: tuple[int, ...], seed: int) -> Tensor:
    """(B, *shape) float32 standard normal numbers of rows (B,), the same for a row whatever stands beside it."""
    count = math.prod(shape)
    drawn = row_bits(rows, -(-count // 2), seed)
    radius = (-2 * (((drawn >> 40) & 0xFFFFFF).float() + 1).mul(2.0**-24).log()).sqrt()
    angle = (drawn & 0xFFFFFF).float() * (2 * math.pi * 2.0**-24)
    both = torch.cat([radius * angle.cos(), radius * angle.sin()], 1)
    return both[:, :count].unflatten(1, shape)


def row_uniform(rows: Tensor, count: int, seed: int) -> Tensor:
    """(B, count) float32 in (0, 1) of rows (B,)."""
    return (((row_bits(rows, count, seed) >> 40) & 0xFFFFFF).float() + 0.5) * 2.0**-24
