"""Stochastic gradient descent, with or without momentum. Robbins, Monro, 1951; Polyak, 1964; Nesterov, 1983."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import OptimiserOptions, optimisers


@optimisers
class SGD(OptimiserOptions):
    """Steps along the gradient; with momentum, along its running sum.

    Paper: Polyak, 1964; Sutskever et al., 2013, http://proceedings.mlr.press/v28/sutskever13.html
    Example: `train: {optimiser: {type: sgd, momentum: 0.9}, learning_rate: 0.1}`
    """

    type: Literal["sgd"] = "sgd"
    momentum: float = Field(0.0, ge=0, lt=1)
    nesterov: bool = False
    """Look ahead along the momentum."""
    weight_decay: float = Field(0.0, ge=0, le=100)

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            groups,
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=True,
        )
