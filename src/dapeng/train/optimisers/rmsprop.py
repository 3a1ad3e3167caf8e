"""Gradients over their running root mean square. Tieleman, Hinton, 2012."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import OptimiserOptions, optimisers


@optimisers
class RMSProp(OptimiserOptions):
    """Each weight's gradient divided by the root of its running mean square.

    Paper: Tieleman and Hinton, 2012, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf
    Example: `train: {optimiser: {type: rmsprop, momentum: 0.9}}`
    """

    type: Literal["rmsprop"] = "rmsprop"
    alpha: float = Field(0.99, gt=0, lt=1)
    """Share of the old mean square that is kept."""
    momentum: float = Field(0.0, ge=0, lt=1)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0, le=100)

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(groups, learning_rate, self.alpha, self.eps, self.weight_decay, self.momentum)
