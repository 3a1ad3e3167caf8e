"""A loss from outside: the squared error of probabilities. Brier, 1950."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.core.kinds import LossOptions, losses


@losses
class BrierLoss(LossOptions):
    """Squared error of the probabilities.

    Example: `outputs: {label: {type: category, loss: brier_loss}}`
    """

    type: Literal["brier_loss"] = "brier_loss"
    fits: ClassVar[tuple[str, ...]] = ("category",)

    def build(self, column: Any) -> nn.Module:
        return Criterion()


class Criterion(nn.Module):
    """logits (B, A), target (B,) -> (B,)."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        wanted = F.one_hot(target, logits.shape[-1])
        return ((logits.softmax(-1) - wanted) ** 2).sum(-1)
