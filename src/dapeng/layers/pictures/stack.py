"""What a convolutional network given as a list of layers is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from dapeng.core.kinds import ActivationOptions, LayerOptions, NormOptions, activations, layers, norms
from dapeng.core.registry import DEFAULT

Shape = tuple[int, int, int]


@layers
class Convolution(LayerOptions):
    """A convolution, its norm and its activation.

    Example: `encoder: {type: cnn, layers: [{type: conv, channels: 32, kernel: 3, stride: 2, norm: batch}]}`
    """

    type: Literal["conv"] = "conv"
    channels: int = Field(32, ge=1, le=65_536)
    kernel: int = Field(3, ge=1, le=63)
    """Side in pixels."""
    stride: int = Field(1, ge=1, le=63)
    padding: Literal["same", "valid"] = "same"
    """same: (kernel - 1) / 2 zeros all round; valid: none."""
    norm: Annotated[NormOptions, norms.choice("maps", default="none")] = DEFAULT
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        channels, y, x = shape
        pad = (self.kernel - 1) // 2 if self.padding == "same" else 0
        y, x = ((s + 2 * pad - self.kernel) // self.stride + 1 for s in (y, x))
        parts: list[nn.Module] = [nn.Conv2d(channels, self.channels, self.kernel, self.stride, pad)]
        if self.norm.type != "none":
            parts.append(self.norm.maps(self.channels))
        return nn.Sequential(*parts, self.activation.build()), (self.channels, y, x)


@layers
class Pool(LayerOptions):
    """The maximum or the mean over small squares.

    Example: `encoder: {type: cnn, layers: [conv, {type: pool, size: 2, how: average}]}`
    """

    type: Literal["pool"] = "pool"
    size: int = Field(2, ge=1, le=63)
    """Side of a square in pixels."""
    stride: int | None = Field(None, ge=1, le=63)
    """auto: the size."""
    how: Literal["max", "average"] = "max"

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        channels, y, x = shape
        stride = self.stride or self.size
        y, x = ((s - self.size) // stride + 1 for s in (y, x))
        return (nn.MaxPool2d if self.how == "max" else nn.AvgPool2d)(self.size, stride), (channels, y, x)


@layers
class GlobalPool(LayerOptions):
    """The mean (or maximum) of each channel over the whole map.

    Example: `encoder: {type: cnn, layers: [conv, global_pool]}`
    """

    type: Literal["global_pool"] = "global_pool"
    how: Literal["average", "max"] = "average"

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        return (nn.AdaptiveAvgPool2d if self.how == "average" else nn.AdaptiveMaxPool2d)(1), (shape[0], 1, 1)


@layers
class Dropout(LayerOptions):
    """Values set to zero in training, the others scaled up. Srivastava et al., 2014.

    Paper: https://jmlr.org/papers/v15/srivastava14a.html
    Example: `encoder: {type: cnn, layers: [conv, {type: dropout, share: 0.25}]}`
    """

    type: Literal["dropout"] = "dropout"
    share: float = Field(0.5, gt=0, lt=1)

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        return nn.Dropout(self.share), shape


@layers
class Full(LayerOptions):
    """A full layer over everything that comes in, and its activation.

    Example: `encoder: {type: cnn, layers: [conv, pool, {type: full, width: 128}]}`
    """

    type: Literal["full"] = "full"
    width: int = Field(128, ge=1, le=1_000_000)
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        channels, y, x = shape
        parts = [nn.Flatten(), nn.Linear(channels * y * x, self.width), self.activation.build()]
        return nn.Sequential(*parts, nn.Unflatten(1, (self.width, 1, 1))), (self.width, 1, 1)
