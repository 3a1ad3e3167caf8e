"""The angle between predicted and true vector."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.core.kinds import LossOptions, losses


@losses
class Cosine(LossOptions):
    """1 - cosine of the angle between prediction and truth, in the user's units; their lengths don't count.

    Example: `outputs: {embedding: {type: vector, scale: none, loss: cosine}}`
    """

    type: Literal["cosine"] = "cosine"
    fits: ClassVar[tuple[str, ...]] = ("vector",)

    def build(self, column: Any) -> nn.Module:
        return Criterion(column.state["mean"], column.state["std"])


class Criterion(nn.Module):
    """values (..., N), target (..., N), standardised -> (..., N): each element's share of the row's loss."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]):
        super().__init__()
        import torch

        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, values: Tensor, target: Tensor) -> Tensor:
        x, y = values.float() * self.std + self.mean, target * self.std + self.mean
        return (1 - F.cosine_similarity(x, y, -1, 1e-8))[..., None].expand_as(x)
