"""Linear layers with small weights, for writing a token at a time, where reading the weights is what takes the time.

bf16 halves what is read; int8 keeps a scale for each output; int4 a scale and a middle for each group of inputs. The products are
torch's own, and fast for a few tokens; more tokens at once (a prompt, a large batch) are multiplied in bfloat16 with the same
small weights made wide, so that a text doesn't depend on how many are written beside it, but for rounding.

Legend: N tokens, I inputs, O outputs, G inputs of a group.
"""

from __future__ import annotations

import copy
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn.lora import LoraLinear

Weights = Literal["bf16", "int8", "int4"]
NARROW = 8
"""Tokens up to which packed products are faster than bfloat16 (measured: the two meet between 8 and 12)."""
TURNED, TURNED_OUT = 64, 2**20
"""Tokens, and numbers that come out, up to which a processor multiplies bfloat16 weights by them faster the other way round, as
O x N, and turns that (measured: by 10 to 35 %; of 128 tokens no more)."""
GROUP = 32
SHRUNK = (1.0, 0.95, 0.9, 0.85, 0.8)
"""Shares of a group's range that are tried for int4: what lies outside is clipped, and the rest lies denser."""
M = TypeVar("M", bound=nn.Module)


class PackedLinear(nn.Module):
    """(..., I) -> (..., O) in the type of what it is given, with bf16, int8 or int4 weights. packed: whether products are."""

    wide: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, kind: Weights):
        super().__init__()
        self.in_features, self.out_features = weight.shape[1], weight.shape[0]
        self.bias, self.kind = bias, kind
        narrow: Tensor | None = None
        scales: Tensor | None = None
        if kind == "int8" and weight.device.type == "cpu":
            narrow, scales, wide = int8(weight)
        elif kind == "int4" and weight.device.type == "cpu" and fits_int4(weight):
            narrow, scales, wide = int4(weight)
        else:
            wide = weight.detach().to(torch.bfloat16)
        self.register_buffer("wide", wide)
        self.narrow, self.scales = narrow, scales

    @property
    def weight(self) -> Tensor:
        """(O, I) what the packed weights say, in bfloat16."""
        return self.wide

    @property
    def packed(self) -> bool:
        return self.narrow is not None

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.in_features).to(torch.bfloat16)
        out = self._narrow(flat) if self.packed and len(flat) <= NARROW else self._wide(flat)
        # in one go where it is converted; `to` leaves as it lies what needs no conversion
        out = out.to(x.dtype, memory_format=torch.contiguous_format).contiguous()
        out = out if self.bias is None else out + self.bias
        return out.view(*x.shape[:-1], self.out_features)

    def _wide(self, flat: Tensor) -> Tensor:
        few = 1 < len(flat) <= TURNED and len(flat) * self.out_features <= TURNED_OUT
        if few and flat.device.type == "cpu":
            return (self.wide @ flat.T).T
        return F.linear(flat, self.wide)

    def _narrow(self, flat: Tensor) -> Tensor:
        if self.kind == "int8":
            return torch.ops.aten._weight_int8pack_mm(flat, self.narrow, self.scales)
        return torch.ops.aten._weight_int4pack_mm_for_cpu(flat, self.narrow, GROUP, self.scales)


def fits_int4(weight: Tensor) -> bool:
    """Whether torch's product takes a weight (O, I) of this shape."""
    return weight.shape[1] % GROUP == 0 and weight.shape[0] % 16 == 0


def int8(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(O, I) as whole numbers, the scale of each output (O,), and what both say together, in bfloat16."""
    w = weight.detach().float()
    scales = (w.abs().amax(1) / 127).clamp(min=1e-12).to(torch.bfloat16)
    values = (w / scales.float()[:, None]).round().clamp(-127, 127)
    return values.to(torch.int8), scales, (values * scales.float()[:, None]).to(torch.bfloat16)


def int4(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(O, I) packed two in a byte, scales and middles (I / G, O, 2), and what both say together, in bfloat16.

    A group's range is the one of those tried that leaves the least squared error.
    """
    groups = weight.detach().float().unflatten(1, (-1, GROUP))  # (O, I / G, G)
    best: tuple[Tensor, ...] | None = None
    for share in SHRUNK:
        found = _rounded(groups, share)
        if best is None:
            best = found
            continue
        better = found[0] < best[0]
        best = tuple(torch.where(better if a.dim() == 2 else better[..., None], a, b) for a, b in zip(found, best))
    assert best is not None
    _, scale, middle, values = best
    wide = (values - 8) * scale[..., None] + middle[..., None]
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values.flatten(1).to(torch.int32), 1)
    both = torch.stack([scale, middle], -1).transpose(0, 1).contiguous().to(torch.bfloat16)
    return packed, both, wide.flatten(1).to(torch.bfloat16)


def _rounded(groups: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Squared error, scale and middle of each group (O, I / G), and its values from 0 to 15, over this share of its range."""
    low, high = groups.amin(-1) * share, groups.amax(-1) * share
    scale = ((high - low) / 15).clamp(min=1e-8).to(torch.bfloat16).float()
    middle = (low + 8 * scale).to(torch.bfloat16).float()
    values = ((groups - middle[..., None]) / scale[..., None] + 8).round().clamp(0, 15)
    error = ((values - 8) * scale[..., None] + middle[..., None] - groups).square().sum(-1)
    return error, scale, middle, values


def packed(module: M, kind: Weights) -> M:
    """The same module with packed linear layers; all else is shared with the original, which stays as it is."""
    twin = copy.copy(module)
    twin._modules = {n: None if m is None else _packed(m, kind) for n, m in module._modules.items()}
    return twin


def _packed(module: nn.Module, kind: Weights) -> nn.Module:
    if isinstance(module, LoraLinear):
        return PackedLinear(module.merged(), module.bias, kind)
    if type(module) is nn.Linear:
        return PackedLinear(module.weight, module.bias, kind)
    return packed(module, kind)
