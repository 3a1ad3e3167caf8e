"""Activations with a slope below zero."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from dapeng.core.kinds import ActivationOptions, activations


@activations
class LeakyReLU(ActivationOptions):
    """x above zero, `slope` times x below.

    Paper: Maas et al., 2013, https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf
    Example: `fusion: {type: concat, activation: {type: leaky_relu, slope: 0.2}}`
    """

    type: Literal["leaky_relu"] = "leaky_relu"
    slope: float = Field(0.01, ge=0, le=1)
    """Below zero."""

    def build(self) -> nn.Module:
        return nn.LeakyReLU(self.slope)


@activations
class ELU(ActivationOptions):
    """x above zero, alpha (exp(x) - 1) below.

    Paper: Clevert et al., 2015, https://arxiv.org/abs/1511.07289
    Example: `fusion: {type: concat, activation: {type: elu, alpha: 1.0}}`
    """

    type: Literal["elu"] = "elu"
    alpha: float = Field(1.0, gt=0, le=100)
    """Where it ends, far below zero."""

    def build(self) -> nn.Module:
        return nn.ELU(self.alpha)


@activations
class PReLU(ActivationOptions):
    """x above zero, a learned slope times x below.

    Paper: He et al., 2015, https://arxiv.org/abs/1502.01852
    Example: `fusion: {type: concat, activation: prelu}`
    """

    type: Literal["prelu"] = "prelu"
    slope: float = Field(0.25, ge=0, le=1)
    """At first."""

    def build(self) -> nn.Module:
        return nn.PReLU(init=self.slope)
