"""A full layer that multiplies in int8: weights by channel, inputs by a scale that each batch gets anew."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.compress.quantise import quantised, worth_it


def available() -> bool:
    """True if this processor has kernels for it."""
    return any(e in torch.backends.quantized.supported_engines for e in ("x86", "fbgemm", "onednn"))


class DynamicLinear(nn.Module):
    """(..., in) -> (..., out)."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        values, scale = quantised(layer.weight)
        self.register_buffer("weight_int8", values)
        self.register_buffer("weight_scale", scale)
        self.bias = layer.bias
        self.packed: Any = None
        self.pack()
        self.register_load_state_dict_post_hook(lambda module, _: module.pack())

    def pack(self) -> None:
        """Put the weights in the order that the kernels want; once, when they are loaded."""
        self.packed = None
        if not available():
            return
        values: Any = self.weight_int8
        scale: Any = self.weight_scale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces that its quantised tensors will move
            made = torch._make_per_channel_quantized_tensor(  # type: ignore[attr-defined]
                values,
                scale.flatten().double(),
                torch.zeros(len(scale), dtype=torch.long),
                0,  # type: ignore[arg-type,operator]
            )
            bias = None if self.bias is None else self.bias.detach()
            self.packed = torch.ops.quantized.linear_prepack(made, bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.packed is None or x.requires_grad:  # the kernels have no gradient; explanations need one
            return F.linear(x, self.weight_int8.float() * self.weight_scale, self.bias)  # type: ignore[operator]
        # reduce_range: without VNNI the sums of two products would overflow 16 bits
        return torch.ops.quantized.linear_dynamic(x.float().contiguous(), self.packed, True)


def quantise_layers(model: nn.Module) -> int:
    """Replace large full layers; returns how many values that were."""
    count = 0
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and worth_it(child.weight):
                count += child.weight.numel()
                setattr(module, name, DynamicLinear(child))
    return count
