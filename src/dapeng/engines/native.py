"""Plain torch, on any machine: the run's own network, with weights as they are or made small.

Small weights are a setting of writing and not of the run: its folder stays as it is.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch

from dapeng.core.kinds import EngineOptions, engines
from dapeng.nn.packed import PackedLinear, packed
from dapeng.nn.writer import Writer
from dapeng.product.writing import Engine, language_model
from dapeng.train.machine import multiplies_bf16

Weights = Literal["auto", "fp32", "bf16", "int8", "int4"]
LARGE = 10_000_000
"""Weights from which reading them is what takes the time of a token."""


@engines
class Native(EngineOptions):
    """Plain torch: fp32, bf16, int8 or int4 weights, on any processor and accelerator.

    Example: `dapeng chat runs/story-0001 --weights int4`
    """

    type: Literal["native"] = "native"
    order: ClassVar[int] = 50
    weights: Weights = "auto"
    """auto: bf16 for large networks where the processor multiplies it, else fp32; int4 is fastest for a text at a time."""

    def open(self, product: Any, folder: Any) -> Engine:
        _, decoder = language_model(product)
        return native(decoder.writer, self.weights)


def native(writer: Any, weights: Weights = "auto") -> Engine:
    """A writer with weights of this kind; what it shares with the original is not copied."""
    kind, why = (weights, "as asked") if weights != "auto" else _chosen(writer)
    if kind != "fp32" and not isinstance(writer, Writer):
        kind, why = "fp32", "a recurrent network is left as it is"
    if kind == "fp32":
        return Engine(writer, "native", kind, why)
    twin: Any = packed(writer, kind)
    twin.head = PackedLinear(writer.matrix, None, kind)
    if writer.matrix.device.type != "cpu" or multiplies_bf16():
        twin.kept_as = torch.bfloat16  # of many rows, keys and values are more to read than the weights
    return Engine(twin, "native", kind, why)


def _chosen(writer: Any) -> tuple[Any, str]:
    count = sum(p.numel() for p in writer.parameters())
    if writer.matrix.device.type != "cpu":
        return "bf16", "half the weights to read"
    if count < LARGE:
        return "fp32", f"{count:,} weights are read in no time"
    able = multiplies_bf16()
    return ("bf16", "half the weights to read") if able else ("fp32", "the processor lacks fast bfloat16")
