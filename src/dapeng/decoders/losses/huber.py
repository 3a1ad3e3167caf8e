"""Huber's loss: squared for small errors, absolute for large ones. Huber, 1964."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import LossOptions, losses


@losses
class Huber(LossOptions):
    """Squared up to delta standard deviations, absolute beyond: outliers pull less.

    Paper: Huber, 1964, Robust Estimation of a Location Parameter
    Example: `outputs: {price: {type: number, loss: {type: huber, delta: 1.0}}}`
    """

    type: Literal["huber"] = "huber"
    fits: ClassVar[tuple[str, ...]] = ("number", "vector")
    delta: float = Field(1.0, gt=0)

    def build(self, column: Any) -> nn.Module:
        return Criterion(self.delta)


class Criterion(nn.Module):
    """values (...), target (...) -> (...), element by element."""

    def __init__(self, delta: float):
        super().__init__()
        self.delta = delta

    def forward(self, values: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(values.float(), target, reduction="none", delta=self.delta)
