"""Normalised within a row: over groups of channels, over all of them, by length alone, or not at all."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import NormOptions, norms


def groups_of(channels: int, most: int) -> int:
    """The largest number of equal groups with at least `most` channels each."""
    return next(g for g in range(max(channels // most, 1), 0, -1) if channels % g == 0)


@norms
class GroupNorm(NormOptions):
    """Each group of channels has mean 0 and deviation 1 within its row: rows don't see each other.

    Paper: Wu and He, 2018, https://arxiv.org/abs/1803.08494
    Example: `inputs: {photo: {type: image, encoder: {type: resnet, norm: {type: group, size: 16}}}}`
    """

    type: Literal["group"] = "group"
    fits: ClassVar[tuple[str, ...]] = ("maps", "rows")
    size: int = Field(8, ge=1)
    """Channels of a group."""

    def maps(self, channels: int) -> nn.Module:
        return nn.GroupNorm(groups_of(channels, self.size), channels)

    def rows(self, width: int) -> nn.Module:
        return nn.GroupNorm(groups_of(width, self.size), width)


@norms
class LayerNorm(NormOptions):
    """All channels of a row together have mean 0 and deviation 1.

    Paper: Ba, Kiros and Hinton, 2016, https://arxiv.org/abs/1607.06450
    Example: `fusion: {type: concat, norm: layer}`
    """

    type: Literal["layer"] = "layer"

    def maps(self, channels: int) -> nn.Module:
        return nn.GroupNorm(1, channels)

    def rows(self, width: int) -> nn.Module:
        return nn.LayerNorm(width)


class MapsRMSNorm(nn.Module):
    """(B, C, Y, X) -> the same, each place divided by the root mean square of its channels."""

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(channels, 1, 1)), eps

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(1, keepdim=True) + self.eps).rsqrt() * self.weight


@norms
class RMSNorm(NormOptions):
    """Divided by the root mean square over the channels; the mean is left as it is.

    Paper: Zhang and Sennrich, 2019, https://arxiv.org/abs/1910.07467
    Example: `inputs: {title: {type: text, encoder: {type: transformer, norm: rms}}}`
    """

    type: Literal["rms"] = "rms"

    def maps(self, channels: int) -> nn.Module:
        return MapsRMSNorm(channels)

    def rows(self, width: int) -> nn.Module:
        return nn.RMSNorm(width, eps=1e-6)


@norms
class NoNorm(NormOptions):
    """Nothing is normalised.

    Example: `fusion: {type: concat, norm: none}`
    """

    type: Literal["none"] = "none"

    def maps(self, channels: int) -> nn.Module:
        return nn.Identity()

    def rows(self, width: int) -> nn.Module:
        return nn.Identity()
