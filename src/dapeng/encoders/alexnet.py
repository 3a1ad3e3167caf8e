"""AlexNet, as one tower.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks, 2012; the widths are those of
Krizhevsky: One weird trick for parallelizing convolutional neural networks, 2014 (https://arxiv.org/abs/1404.5997).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from dapeng.core.kinds import ActivationOptions, EncoderOptions, activations, encoders
from dapeng.core.registry import DEFAULT
from dapeng.encoders.pixels import StagedEncoder
from dapeng.nn.features import Widths

SMALL = 64
"""Side in pixels below which the first convolution doesn't stride."""


@encoders
class AlexNet(EncoderOptions):
    """Five convolutions and two full layers with dropout; over pictures of 64 pixels and more the network of 2012.

    Smaller pictures are read by 3 x 3 convolutions from the first layer on. With 1,000 classes and colour it has 61,100,840 parameters.

    Paper: Krizhevsky et al., 2012, https://papers.nips.cc/paper/4824; widths: https://arxiv.org/abs/1404.5997
    Example: `inputs: {photo: {type: image, size: 224, encoder: alexnet}}`
    """

    type: Literal["alexnet"] = "alexnet"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    tiny: ClassVar[dict[str, Any]] = {"channels": [8, 12, 16, 12, 12], "hidden": [24, 24], "dropout": 0.0}
    channels: list[int] = Field(default=[64, 192, 384, 256, 256], min_length=5, max_length=5)
    """Channels of the convolutions."""
    hidden: list[int] = Field(default=[4096, 4096], max_length=8)
    """Widths of the full layers."""
    grid: int = Field(6, ge=1, le=64)
    """Side of the map that the full layers read, at most that of the last map."""
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT
    dropout: float = Field(0.5, ge=0, lt=1)
    """Before each full layer."""

    def build(self, columns: list[Any], tables: Any) -> AlexNetEncoder:
        return AlexNetEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 20 if rows < 20_000 else 12, "batch_size": 128, "learning_rate": 1e-3}


class AlexNetEncoder(StagedEncoder):
    """pixels (B, C, Y, X) -> maps of the three pooled stages, pooled (B, D)."""

    def __init__(self, column: Any, o: AlexNet):
        super().__init__(column)
        first, y, x = self.shape
        a, b, c, d, e = o.channels
        act = o.activation.build
        if min(y, x) >= SMALL:
            stem, pool = nn.Conv2d(first, a, 11, 4, 2), lambda: nn.MaxPool2d(3, 2)
        else:
            stem, pool = nn.Conv2d(first, a, 3, 1, 1), lambda: nn.MaxPool2d(2, ceil_mode=True)
        kernel = 5 if min(y, x) >= SMALL else 3
        self.stages = nn.ModuleList(
            [
                nn.Sequential(stem, act(), pool()),
                nn.Sequential(nn.Conv2d(a, b, kernel, padding=kernel // 2), act(), pool()),
                nn.Sequential(
                    *(nn.Conv2d(b, c, 3, padding=1), act(), nn.Conv2d(c, d, 3, padding=1), act()),
                    *(nn.Conv2d(d, e, 3, padding=1), act(), pool()),
                ),
            ]
        )
        strides = (8, 16, 32) if min(y, x) >= SMALL else (2, 4, 8)
        side = min(o.grid, max(1, -(-min(y, x) // strides[2])))
        drop = lambda: [nn.Dropout(o.dropout)] if o.dropout else []  # noqa: E731 - named where it is used
        width = self.end(e, side, o.hidden, lambda start, size: [*drop(), nn.Linear(start, size), act()])
        self.widths = Widths(pooled=width, tokens=e, maps=tuple(zip((a, b, e), strides)))
