"""Focal loss: easy rows count less. Lin et al., 2017 (https://arxiv.org/abs/1708.02002)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import LossOptions, losses


@losses
class Focal(LossOptions):
    """Cross-entropy times (1 - p)^gamma: rows that are already right count less.

    Paper: Lin et al., 2017, https://arxiv.org/abs/1708.02002
    Example: `outputs: {fraud: {type: category, loss: {type: focal, gamma: 2}}}`
    """

    type: Literal["focal"] = "focal"
    fits: ClassVar[tuple[str, ...]] = ("category",)
    gamma: float = Field(2.0, ge=0, le=100)

    def build(self, column: Any) -> nn.Module:
        return Criterion(self.gamma)


class Criterion(nn.Module):
    """logits (B, A), target (B,) codes or (B, A) probabilities -> (B,)."""

    def __init__(self, gamma: float):
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        logs = logits.float().log_softmax(-1)
        if target.dim() == 1:
            target = F.one_hot(target, logs.shape[-1]).to(logs.dtype)
        return -(target * (1 - logs.exp()) ** self.gamma * logs).sum(-1)
