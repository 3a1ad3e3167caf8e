"""Gradients over the root of the sum of all their squares. Duchi, Hazan, Singer, 2011."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import OptimiserOptions, optimisers


@optimisers
class Adagrad(OptimiserOptions):
    """Weights that have moved much move less: for rare features, such as words.

    Paper: Duchi et al., 2011, https://jmlr.org/papers/v12/duchi11a.html
    Example: `train: {optimiser: adagrad, learning_rate: 0.05}`
    """

    type: Literal["adagrad"] = "adagrad"
    eps: float = Field(1e-10, gt=0)
    weight_decay: float = Field(0.0, ge=0, le=100)

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(groups, learning_rate, eps=self.eps, weight_decay=self.weight_decay)
