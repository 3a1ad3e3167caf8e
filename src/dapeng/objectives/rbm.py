"""Restricted Boltzmann machines, one layer of a perceptron after the other: how a deep belief network begins.

Hinton: Training Products of Experts by Minimizing Contrastive Divergence, 2002 (https://doi.org/10.1162/089976602760128018); Hinton,
Osindero, Teh, 2006; Gaussian visible units: Hinton: A Practical Guide to Training Restricted Boltzmann Machines, 2012.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import ObjectiveOptions, objectives
from dapeng.data.batch import Batch
from dapeng.models.model import Model
from dapeng.objectives.base import Objective


@objectives
class RBM(ObjectiveOptions):
    """Contrastive divergence over one layer of each `mlp` encoder; named without a layer, a phase for each, from the input on.

    Paper: Hinton, Osindero and Teh, 2006, https://www.cs.toronto.edu/~hinton/absps/fastnc.pdf
    Example: `train: {pretrain: {objective: rbm, epochs: 5}}` with `encoder: {type: mlp, hidden: [500, 500, 2000], activation: sigmoid}`
    """

    type: Literal["rbm"] = "rbm"
    judged: ClassVar[bool] = False
    layer: int | None = Field(None, ge=0)
    """Position of the layer, from 0; auto: every one in turn."""
    steps: int = Field(1, ge=1, le=1000)
    """Gibbs steps of a reconstruction (CD-k)."""
    visible: Literal["auto", "bernoulli", "gaussian"] = "auto"
    """What a layer reads: shares between 0 and 1, or numbers of deviation 1. auto: gaussian for a table's numbers, else bernoulli."""
    weight_cost: float = Field(2e-4, ge=0, le=1)
    """Penalty on half the squared weights."""

    def parts(self, model: Model) -> list[RBM]:
        if self.layer is not None:
            return [self]
        deepest = max((len(_stack(e)) for e in model.encoders.values()), default=0)
        if not deepest:
            hint = "inputs.NAME.encoder={type: mlp, activation: sigmoid}"
            raise SpecError(
                Problem("train.pretrain", "rbm trains the layers of mlp encoders, and no input has one", hint)
            )
        return [self.model_copy(update={"layer": i}) for i in range(deepest)]

    def build(
        self, model: Model, weights: dict[str, float] | None = None, columns: Mapping[str, Any] | None = None
    ) -> Objective:
        return Boltzmann(model, self)


def _stack(encoder: Any) -> list[nn.Linear]:
    """The full layers of an encoder that has such."""
    layers = getattr(encoder, "full_layers", None)
    return layers() if layers is not None else []


class Boltzmann(Objective):
    """One layer's weights and hidden biases are the encoder's own; the visible biases belong to the objective alone."""

    def __init__(self, model: Model, o: RBM):
        super().__init__(model)
        self.o, self.layer = o, o.layer or 0
        self.names = [n for n, e in model.encoders.items() if len(_stack(e)) > self.layer]
        sizes = {n: _stack(model.encoders[n])[self.layer].in_features for n in self.names}
        self.visible = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in sizes.values())
        for name in self.names:  # Hinton, 2012: small weights, hidden biases 0
            linear = _stack(model.encoders[name])[self.layer]
            nn.init.normal_(linear.weight, std=0.01)
            nn.init.zeros_(linear.bias)

    def trainable(self, turn: str) -> list[nn.Parameter]:
        own = [p for n in self.names for p in _stack(self.model.encoders[n])[self.layer].parameters()]
        return [*own, *self.visible]

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        return dict.fromkeys(self.names, batch.size)

    def gaussian(self, name: str, batch: Batch) -> bool:
        if self.o.visible != "auto":
            return self.o.visible == "gaussian" and self.layer == 0
        return self.layer == 0 and "values" in batch[name]

    def reads(self, name: str, batch: Batch) -> Tensor:
        """(B, D) what the layer sees: the cells, through the layers below."""
        encoder = self.model.encoders[name]
        with torch.no_grad():
            x = encoder.embed(batch[name]).flatten(1)
            for linear in _stack(encoder)[: self.layer]:
                x = linear(x).sigmoid()
        return x

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        with torch.autocast(batch.rows.device.type, enabled=False):  # differences of large energies want all digits
            return self.divergence(batch)

    def divergence(self, batch: Batch) -> dict[str, Tensor]:
        """(B,) by encoder: the free energy of what is seen, less that of what is dreamt; and the weights' penalty."""
        out = {}
        for name, bias in zip(self.names, self.visible):
            linear = _stack(self.model.encoders[name])[self.layer]
            seen, gaussian = self.reads(name, batch), self.gaussian(name, batch)
            dreamt = reconstruction(seen, linear, bias, gaussian, self.o.steps)
            # the difference of free energies has the gradient of contrastive divergence
            loss = free_energy(seen, linear, bias, gaussian) - free_energy(dreamt, linear, bias, gaussian)
            out[name] = loss + 0.5 * self.o.weight_cost * linear.weight.square().sum()
        return out


def free_energy(v: Tensor, linear: nn.Linear, bias: Tensor, gaussian: bool) -> Tensor:
    """(B,) of visible values (B, D), hidden units summed out."""
    own = 0.5 * (v - bias).square().sum(1) if gaussian else -(v @ bias)
    return own - F.softplus(linear(v).float()).sum(1)


@torch.no_grad()
def reconstruction(v: Tensor, linear: nn.Linear, bias: Tensor, gaussian: bool, steps: int) -> Tensor:
    """(B, D) what the machine makes of `v` after so many Gibbs steps; the last visible values are means."""
    for step in range(steps):
        hidden = torch.bernoulli(linear(v).sigmoid())
        mean = hidden @ linear.weight + bias
        v = mean if gaussian else mean.sigmoid()
        if step < steps - 1:
            v = v + torch.randn_like(v) if gaussian else torch.bernoulli(v)
    return v
