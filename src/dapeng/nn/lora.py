"""Low-rank changes of linear layers that stay as they are: what is trained, and saved, is a thousandth of the network.

Hu et al.: LoRA, Low-Rank Adaptation of Large Language Models, 2021 (https://arxiv.org/abs/2106.09685).

Legend: I inputs of a layer, O outputs, R rank.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FUSED = {"qkv": ("q", "k", "v"), "kv": ("k", "v")}
"""Layers that are several in one, by the names of their parts."""
Rows = tuple[int, int]
M = TypeVar("M", bound=nn.Module)


class LoraLinear(nn.Linear):
    """(..., I) -> (..., O): W x + b, and (alpha / R) B A x added to some rows of it. B begins at zero, so nothing is changed yet.

    parts: rows of W that get an adapter each, by name. Outside training W + (alpha / R) B A is worked out once.
    """

    def __init__(self, layer: nn.Linear, parts: Mapping[str, Rows], rank: int, alpha: float, dropout: float = 0.0):
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.parts, self.scale = dict(parts), alpha / rank
        new = layer.weight.new_empty
        self.lora_a = nn.ParameterDict({n: nn.Parameter(new(rank, self.in_features)) for n in parts})
        self.lora_b = nn.ParameterDict({n: nn.Parameter(new(e - s, rank).zero_()) for n, (s, e) in parts.items()})
        for a in self.lora_a.values():
            nn.init.kaiming_uniform_(a, math.sqrt(5))
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self._kept: tuple[Any, Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        if not self.training and not torch.is_grad_enabled():
            return F.linear(input, self._merged(), self.bias)
        out, x = super().forward(input), self.drop(input)
        pieces, at = [], 0
        for name, (start, end) in self.parts.items():
            if start > at:
                pieces.append(out.new_zeros(*out.shape[:-1], start - at))
            pieces.append(F.linear(F.linear(x, self.lora_a[name]), self.lora_b[name]) * self.scale)
            at = end
        if at < self.out_features:
            pieces.append(out.new_zeros(*out.shape[:-1], self.out_features - at))
        return out + (pieces[0] if len(pieces) == 1 else torch.cat(pieces, -1))

    def merged(self) -> Tensor:
        """(O, I) the one weight that does the same."""
        found = self.weight.detach().clone()
        for name, (start, end) in self.parts.items():
            found[start:end] += (self.lora_b[name].detach() @ self.lora_a[name].detach()) * self.scale
        return found

    def _merged(self) -> Tensor:
        """`merged`, worked out anew only after something has changed."""
        own = [self.weight, *self.lora_a.values(), *self.lora_b.values()]
        state = [(p.data_ptr(), p._version, p.dtype, p.device) for p in own]
        if self._kept is None or self._kept[0] != state:
            self._kept = (state, self.merged())
        return self._kept[1]

    def train(self, mode: bool = True) -> LoraLinear:
        self._kept = None
        return super().train(mode)


def parts_of(name: str, rows: int, sizes: Mapping[str, Sequence[int]]) -> dict[str, Rows]:
    """The rows of a layer of this name, by the names of its parts. sizes: of the parts of fused layers."""
    if name not in FUSED or name not in sizes:
        return {name: (0, rows)}
    out, at = {}, 0
    for part, size in zip(FUSED[name], sizes[name]):
        out[part] = (at, at + size)
        at += size
    return out


def add_adapters(
    module: nn.Module,
    on: Sequence[str],
    sizes: Mapping[str, Sequence[int]],
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    skip: Callable[[str], bool] = lambda name: False,
) -> int:
    """Give the linear layers below a module an adapter where their name, or that of a part of them, is in `on`; how many.

    skip: says of a layer's whole name that it is left alone. Raises ValueError for a name in `on` that no layer has.
    """
    found: set[str] = set()
    wanted, count = set(on), 0
    for path, parent in list(module.named_modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is not nn.Linear or skip(f"{path}.{name}"):
                continue
            parts = parts_of(name, layer.out_features, sizes)
            found |= parts.keys()
            mine = {n: rows for n, rows in parts.items() if n in wanted}
            if mine:
                setattr(parent, name, LoraLinear(layer, mine, rank, alpha, dropout))
                count += len(mine)
    missing = sorted(wanted - found)
    if missing:
        there = f"one of {', '.join(sorted(found))}" if found else "there is no linear layer"
        raise ValueError(f"no layer is called {missing[0]}: {there}")
    return count


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter."""
    return not {"lora_a", "lora_b"}.isdisjoint(name.split("."))


def plain_parameters(module: nn.Module) -> dict[str, Tensor]:
    """All parameters by name, as if there had never been an adapter: what they change is in the weights."""
    out = {n: p.detach() for n, p in module.named_parameters() if not is_adapter(n)}
    for name, layer in module.named_modules():
        if isinstance(layer, LoraLinear):
            out[f"{name}.weight" if name else "weight"] = layer.merged()
    return out


def without_adapters(module: M) -> M:
    """A copy that shares its tensors and does the same by plain layers; the module itself where it has no adapter."""
    if not any(isinstance(m, LoraLinear) for m in module.modules()):
        return module
    twin = copy.copy(module)
    twin._modules = {n: None if m is None else _plain(m) for n, m in module._modules.items()}
    return twin


def _plain(module: nn.Module) -> nn.Module:
    if not isinstance(module, LoraLinear):
        return without_adapters(module)
    layer = nn.Linear(module.in_features, module.out_features, device="meta")
    layer.weight = nn.Parameter(module.merged())
    layer.bias = module.bias
    return layer.train(module.training)


def leave_out_frozen(modules: Iterable[nn.Module]) -> None:
    """From now on, `state_dict` of these modules lacks what isn't trained, and `load_state_dict` leaves it as it is."""
    for module in modules:
        for part in module.modules():
            names = [n for n, p in part.named_parameters(recurse=False) if not p.requires_grad]
            if names:
                part.register_state_dict_post_hook(_without(names))
                part.register_load_state_dict_pre_hook(_with_own(names))


def _without(names: list[str]) -> Callable[..., None]:
    def hook(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        for name in names:
            state.pop(prefix + name, None)

    return hook


def _with_own(names: list[str]) -> Callable[..., None]:
    def hook(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for name in names:
            state.setdefault(prefix + name, getattr(module, name).detach())

    return hook
