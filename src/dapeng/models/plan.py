"""What a network takes, known before any memory is: it is built on the meta device, where tensors have shapes and no numbers.

Legend: P trained parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from dapeng.columns.base import Column
from dapeng.core.errors import Problem, SpecError
from dapeng.core.machine import memory
from dapeng.core.spec import Spec
from dapeng.models.build import Choices, build_model

TRAINED, FROZEN = 16, 4
"""Bytes of a parameter in training: itself, its gradient and two moments in fp32; and of one that stays as it is."""
SPARE = 0.9
"""Share of the machine's memory that weights may take."""


@dataclass(frozen=True)
class Plan:
    """trained, frozen: numbers of parameters, shared tables once."""

    trained: int
    frozen: int

    @property
    def weights(self) -> int:
        """Bytes of the weights in fp32."""
        return 4 * (self.trained + self.frozen)

    @property
    def training(self) -> int:
        """Bytes that training takes beside activations: weights, gradients and Adam's moments."""
        return TRAINED * self.trained + FROZEN * self.frozen

    def describe(self) -> str:
        frozen = f" and {self.frozen:,} that stay as they are" if self.frozen else ""
        return (
            f"network: {self.trained:,} parameters{frozen}, {_size(self.weights)} of weights; "
            f"training takes {_size(self.training)} beside what batches take"
        )


def plan(spec: Spec, inputs: Mapping[str, Column], outputs: Mapping[str, Column]) -> Plan:
    """Sizes of the network of a spec over fitted columns, whose inputs have their encoders decided. Takes no memory."""
    with torch.device("meta"):
        model = build_model(spec, inputs, outputs, Choices())
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return Plan(sum(n for n, t in sizes if t), sum(n for n, t in sizes if not t))


def refuse_too_large(spec: Spec, inputs: Mapping[str, Column], outputs: Mapping[str, Column]) -> None:
    """Raise SpecError for a network that this machine's memory can't train."""
    known = memory()
    if known is None:
        return
    found = plan(spec, inputs, outputs)
    if found.training > SPARE * known[0]:
        what = f"{found.describe()}, and this machine has {_size(known[0])}"
        raise SpecError(
            Problem(
                "outputs" if not inputs else "inputs, outputs",
                what,
                "make it smaller: embed_dim, num_layers, or a size by name",
            )
        )


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"
