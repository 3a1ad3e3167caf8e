"""Adam. Kingma, Ba, 2014 (https://arxiv.org/abs/1412.6980)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import OptimiserOptions, optimisers
from dapeng.train.lean import LeanAdam


@optimisers
class Adam(OptimiserOptions):
    """Gradients scaled by running moments.

    Paper: Kingma and Ba, 2014, https://arxiv.org/abs/1412.6980
    Example: `train: {optimiser: adam, learning_rate: 1e-3}`
    """

    type: Literal["adam"] = "adam"
    weight_decay: float = Field(0.0, ge=0, le=100)
    """L2 penalty, added to the gradient."""
    betas: list[float] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    eps: float = Field(1e-8, gt=0)

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        beta1, beta2 = self.betas
        return LeanAdam(
            groups, lr=learning_rate, betas=(beta1, beta2), eps=self.eps, weight_decay=self.weight_decay, fused=True
        )
