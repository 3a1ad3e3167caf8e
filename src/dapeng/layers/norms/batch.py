"""Normalised over the rows of a batch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from dapeng.core.kinds import NormOptions, norms


@norms
class BatchNorm(NormOptions):
    """Each channel has mean 0 and deviation 1 over the batch; over all of training when it predicts.

    Paper: Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167
    Example: `inputs: {photo: {type: image, encoder: {type: resnet, norm: batch}}}`
    """

    type: Literal["batch"] = "batch"
    fits: ClassVar[tuple[str, ...]] = ("maps", "rows")
    momentum: float = Field(0.1, gt=0, le=1)
    """Share of the newest batch in the running statistics."""
    eps: float = Field(1e-5, gt=0, lt=1)
    """Added to the variance."""

    def maps(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, self.eps, self.momentum)

    def rows(self, width: int) -> nn.Module:
        return nn.BatchNorm1d(width, self.eps, self.momentum)
