"""Stochastic gradient descent that looks ahead. Nesterov, 1983; Sutskever et al., 2013."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import OptimiserOptions, optimisers


@optimisers
class Nesterov(OptimiserOptions):
    """Steps along the running sum of the gradients, taken where that sum leads to.

    Paper: Sutskever et al., 2013, http://proceedings.mlr.press/v28/sutskever13.html
    Example: `train: {optimiser: {type: nesterov, momentum: 0.9, weight_decay: 5e-4}, learning_rate: 0.1}`
    """

    type: Literal["nesterov"] = "nesterov"
    momentum: float = Field(0.9, gt=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, le=100)

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        decay = self.weight_decay
        return torch.optim.SGD(groups, learning_rate, self.momentum, nesterov=True, weight_decay=decay, fused=True)
