"""Cross-entropy between predicted and true class."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import LossOptions, losses


@losses
class CrossEntropy(LossOptions):
    """Negative log-likelihood of the true class.

    Example: `outputs: {label: {type: category, loss: {type: cross_entropy, label_smoothing: 0.1}}}`
    """

    type: Literal["cross_entropy"] = "cross_entropy"
    fits: ClassVar[tuple[str, ...]] = ("category",)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the probability that is spread over all classes (Szegedy et al., 2015)."""
    class_weights: Literal["none", "balanced"] | list[float] = "none"
    """Weight of each class in the order of labels; balanced: inverse to its frequency."""

    def build(self, column: Any) -> nn.Module:
        return Criterion(class_weights(self.class_weights, column), self.label_smoothing)


def class_weights(asked: Any, column: Any) -> Tensor | None:
    """(A,) weights, of mean 1 over the training rows; None for equal ones."""
    if asked == "none":
        return None
    counts = torch.tensor(column.counts, dtype=torch.float32)
    if asked == "balanced":
        return counts.sum() / (len(counts) * counts.clamp(min=1))
    return torch.tensor(asked, dtype=torch.float32)


class Criterion(nn.Module):
    """logits (B, A), target (B,) codes or (B, A) probabilities -> (B,)."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None, label_smoothing: float):
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            logits.float(), target, self.weight, reduction="none", label_smoothing=self.label_smoothing
        )
