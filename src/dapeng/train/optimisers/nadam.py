"""Adam with Nesterov's look ahead. Dozat, 2016."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from dapeng.core.kinds import OptimiserOptions, optimisers


@optimisers
class NAdam(OptimiserOptions):
    """Adam whose momentum is taken where it leads to; weight decay is decoupled.

    Paper: Dozat, 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
    Example: `train: {optimiser: {type: nadam, weight_decay: 0.01}}`
    """

    type: Literal["nadam"] = "nadam"
    weight_decay: float = Field(0.01, ge=0, le=100)
    betas: list[float] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    eps: float = Field(1e-8, gt=0)

    def build(self, groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
        beta1, beta2 = self.betas
        decay = self.weight_decay
        return torch.optim.NAdam(groups, learning_rate, (beta1, beta2), self.eps, decay, decoupled_weight_decay=True)
