"""VGG: nothing but 3 x 3 convolutions, pooling and full layers.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014 (https://arxiv.org/abs/1409.1556).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from dapeng.core.kinds import EncoderOptions, NormOptions, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.encoders.pixels import StagedEncoder
from dapeng.nn.features import Widths

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each of the five stages, by depth."""


@encoders
class VGG(EncoderOptions):
    """Stages of 3 x 3 convolutions, each halved by pooling, then two full layers. VGG-16 with 1,000 classes has 138,357,544
    parameters (without norm).

    Paper: Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556
    Example: `inputs: {photo: {type: image, encoder: {type: vgg, depth: 16}}}`
    """

    type: Literal["vgg"] = "vgg"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    tiny: ClassVar[dict[str, Any]] = {"depth": 11, "width": 4, "hidden": [24], "dropout": 0.0}
    depth: Literal[11, 13, 16, 19] = 11
    """Layers with weights, the classifier's counted."""
    width: int = Field(64, ge=1, le=1024)
    """Channels of the first stage; each stage doubles them, up to eight times as many."""
    hidden: list[int] = Field(default=[4096, 4096], max_length=8)
    """Widths of the full layers."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    """After each convolution; none, as in 2014, hardly trains from scratch."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """After each full layer."""

    def build(self, columns: list[Any], tables: Any) -> VGGEncoder:
        return VGGEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 20 if rows < 20_000 else 12, "batch_size": 128, "learning_rate": 1e-3}


class VGGEncoder(StagedEncoder):
    """pixels (B, C, Y, X) -> maps of the stages, pooled (B, D)."""

    def __init__(self, column: Any, o: VGG):
        super().__init__(column)
        channels, y, x = self.shape
        stages, maps = [], []
        for number, count in enumerate(CONVOLUTIONS[o.depth]):
            outputs = o.width * min(2**number, 8)
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [nn.Conv2d(channels, outputs, 3, padding=1), o.norm.maps(outputs), nn.ReLU()]
                channels = outputs
            # a map of one pixel is not halved
            layers.append(nn.MaxPool2d(2) if min(y, x) > 1 else nn.Identity())
            y, x = (max(s // 2, 1) for s in (y, x))
            stages.append(nn.Sequential(*layers))
            maps.append((outputs, 2 ** (number + 1)))
        self.stages = nn.ModuleList(stages)
        drop = lambda: [nn.Dropout(o.dropout)] if o.dropout else []  # noqa: E731 - named where it is used
        width = self.end(
            channels, min(7, y, x), o.hidden, lambda start, size: [nn.Linear(start, size), nn.ReLU(), *drop()]
        )
        self.widths = Widths(pooled=width, tokens=channels, maps=tuple(maps))
