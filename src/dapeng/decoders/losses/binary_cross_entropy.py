"""Binary cross-entropy, for each of several labels."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import LossOptions, losses

HEAVIEST = 100.0
"""Of balanced weights: a label of three rows must not drown the others."""


@losses
class BinaryCrossEntropy(LossOptions):
    """Negative log-likelihood of each label's being there or not, summed over the labels.

    Paper (gamma): Lin et al., 2017, https://arxiv.org/abs/1708.02002
    Example: `outputs: {genres: {type: set, loss: {type: binary_cross_entropy, positive_weights: balanced}}}`
    """

    type: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    fits: ClassVar[tuple[str, ...]] = ("set",)
    positive_weights: Literal["none", "balanced"] = "none"
    """balanced: rows that have a label weigh as much as those that lack it; probabilities then are too high."""
    gamma: float = Field(0.0, ge=0, le=100)
    """Focal loss: times (1 - p)^gamma, where p is the probability of what is true; 0 for none."""

    def build(self, column: Any) -> nn.Module:
        return Criterion(positive_weights(column) if self.positive_weights == "balanced" else None, self.gamma)


def positive_weights(column: Any) -> Tensor:
    """(A,) rows that lack a label for each that has it, at most 100."""
    counts = torch.tensor(column.counts, dtype=torch.float32)
    return ((column.state["rows"] - counts) / counts.clamp(min=1)).clamp(1 / HEAVIEST, HEAVIEST)


class Criterion(nn.Module):
    """logits (..., A), target (..., A) from 0 to 1 -> (...) summed over the labels."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None, gamma: float):
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        logits = logits.float()
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=self.weight)
        if self.gamma:
            p = logits.sigmoid()
            loss = loss * (p + target - 2 * p * target).clamp(min=1e-8) ** self.gamma
        return loss.sum(-1)
