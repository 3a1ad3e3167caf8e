"""Quantiles: how far up or down the truth may lie. Koenker, Bassett: Regression Quantiles, 1978."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from dapeng.core.kinds import LossOptions, losses


@losses
class Quantile(LossOptions):
    """Several quantiles at once, by pinball loss; the middle one is the answer, the others are given beside it.

    Classical learners, which predict the mean, have no part in such an output.

    Paper: Koenker and Bassett, 1978, https://doi.org/10.2307/1913643
    Example: `outputs: {price: {type: number, loss: {type: quantile, quantiles: [0.05, 0.5, 0.95]}}}`
    """

    type: Literal["quantile"] = "quantile"
    fits: ClassVar[tuple[str, ...]] = ("number",)
    shared: ClassVar[bool] = False
    quantiles: list[float] = Field(default=[0.1, 0.5, 0.9], min_length=1, max_length=99)
    """Shares of the rows that lie below, rising, between 0 and 1; of an even count the lower middle one is the answer."""

    @field_validator("quantiles")
    @classmethod
    def _rise(cls, value: list[float]) -> list[float]:
        if sorted(set(value)) != value or value[0] <= 0 or value[-1] >= 1:
            raise ValueError(f"quantiles must rise between 0 and 1, found {value}")
        return value

    @property
    def levels(self) -> list[float]:
        return self.quantiles

    def build(self, column: Any) -> nn.Module:
        return Criterion(self.quantiles)


class Criterion(nn.Module):
    """predictions (B, Q), target (B,) -> (B,): the mean over the quantiles."""

    levels: Tensor

    def __init__(self, quantiles: list[float]):
        super().__init__()
        self.register_buffer("levels", torch.tensor(quantiles), persistent=False)

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        error = target[..., None] - predicted.float()
        return torch.maximum(self.levels * error, (self.levels - 1) * error).mean(-1)
