"""Absolute error."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from dapeng.core.kinds import LossOptions, losses


@losses
class MAE(LossOptions):
    """Absolute error: predicts the median.

    Example: `outputs: {price: {type: number, loss: mae}}`
    """

    type: Literal["mae"] = "mae"
    fits: ClassVar[tuple[str, ...]] = ("number", "vector")

    def build(self, column: Any) -> nn.Module:
        return Criterion()


class Criterion(nn.Module):
    """values (...), target (...) -> (...), element by element."""

    def forward(self, values: Tensor, target: Tensor) -> Tensor:
        return (values.float() - target).abs()
