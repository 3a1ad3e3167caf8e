"""Weights as int8 with a scale for each channel, put in place of float32 weights from outside: no network has a branch for it.

Legend: the channels of a weight are all its axes but the second, over which an input is summed: (out) of a full layer or a
convolution, a row of a table, (members, out) of an ensemble's layer.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn.tables import Lent

FEWEST = 1024
"""Weights with fewer values stay as they are: their scales would weigh as much as what is saved."""
INT8, SCALE = "_int8", "_scale"


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values from -127 to 127, and the scale of each channel, with which they are multiplied."""
    axes = tuple(range(1, weight.dim())) if weight.dim() != 3 else (1,)
    scale = weight.detach().abs().amax(axes, keepdim=True).clamp(min=1e-12) / 127
    return (weight.detach() / scale).round().clamp(-127, 127).to(torch.int8), scale


def worth_it(parameter: Tensor) -> bool:
    return parameter.is_floating_point() and parameter.dim() >= 2 and parameter.numel() >= FEWEST


class QuantisedEmbedding(nn.Module):
    """A table in int8; rows become floats when they are looked up, so it stays small in memory too."""

    def __init__(self, table: nn.Embedding):
        super().__init__()
        self.num_embeddings, self.embedding_dim = table.num_embeddings, table.embedding_dim
        values, scale = quantised(table.weight)
        self.register_buffer("weight_int8", values)
        self.register_buffer("weight_scale", scale)

    @property
    def weight(self) -> Tensor:
        """The whole table as floats, for those who multiply with it."""
        return self.weight_int8.float() * self.weight_scale  # type: ignore[operator,return-value]

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight_int8).float() * F.embedding(ids, self.weight_scale)  # type: ignore[arg-type]


def quantise_tables(model: nn.Module) -> int:
    """Replace large embedding tables, also where they are lent; returns how many values that were."""
    replaced: dict[int, nn.Module] = {}
    count = 0
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Embedding) and worth_it(child.weight):
                replaced[id(child)] = QuantisedEmbedding(child)
                count += child.weight.numel()
                setattr(module, name, replaced[id(child)])
    for module in model.modules():
        for value in vars(module).values():
            for lent in value if isinstance(value, list) else [value]:
                if isinstance(lent, Lent) and id(lent.module) in replaced:
                    lent.module = replaced[id(lent.module)]
    return count


def quantise_weights(model: nn.Module, skip: tuple[type[nn.Module], ...] = ()) -> int:
    """Keep large weights of every other module as int8 in files; floats are made of them once, when they are loaded."""
    count = 0
    for module in model.modules():
        if isinstance(module, (QuantisedEmbedding, *skip)):
            continue
        names = [n for n, p in module.named_parameters(recurse=False) if worth_it(p)]
        for name in names:
            weight = getattr(module, name)
            count += weight.numel()
            values, scale = quantised(weight)
            delattr(module, name)
            module.register_buffer(name + INT8, values)
            module.register_buffer(name + SCALE, scale)
            module.register_buffer(name, values.float() * scale, persistent=False)
        if names:
            module.register_load_state_dict_post_hook(lambda module, _, names=names: _restore(module, names))
    return count


def _restore(module: Any, names: list[str]) -> None:
    for name in names:
        setattr(module, name, getattr(module, name + INT8).float() * getattr(module, name + SCALE))
