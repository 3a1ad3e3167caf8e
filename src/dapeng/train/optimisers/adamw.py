"""Adam with decoupled weight decay. Loshchilov, Hutter, 2017 (https://arxiv.org/abs/1711.05101)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import OptimiserOptions, optimisers
from dapeng.train.lean import LeanAdamW


@optimisers
class AdamW(OptimiserOptions):
    """Adam with decoupled weight decay; biases, norms and single vectors are not decayed.

    Paper: Loshchilov and Hutter, 2017, https://arxiv.org/abs/1711.05101
    Example: `train: {optimiser: {type: adamw, weight_decay: 0.05}}`
    """

    type: Literal["adamw"] = "adamw"
    weight_decay: float = Field(0.01, ge=0, le=100)
    betas: list[float] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    eps: float = Field(1e-8, gt=0)

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        beta1, beta2 = self.betas
        return LeanAdamW(
            groups, lr=learning_rate, betas=(beta1, beta2), eps=self.eps, weight_decay=self.weight_decay, fused=True
        )
