"""A small, fast residual network for pictures of 8 to 128 pixels, trained from scratch on a processor.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2015 (https://arxiv.org/abs/1512.03385), cut down: a 3 x 3 stem,
pre-pooled stages, global average and maximum at the end.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, NormOptions, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.pixels import PictureEncoder
from dapeng.nn.features import Features, Widths


@encoders
class ResNetSmall(EncoderOptions):
    """A residual network of a few stages for small pictures and little data.

    Paper: He et al., 2015, https://arxiv.org/abs/1512.03385
    Example: `inputs: {photo: {type: image, encoder: {type: resnet_small, width: 32}}}`
    """

    type: Literal["resnet_small"] = "resnet_small"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    width: int = Field(32, ge=4, le=1024)
    """Channels of the first stage; each stage doubles them."""
    stages: int | None = Field(None, ge=1, le=6)
    """Stages, each at half the resolution of the one before. auto: until the picture is 4 to 7 pixels wide."""
    blocks: int = Field(1, ge=1, le=16)
    """Residual blocks a stage."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    dropout: float = Field(0.1, ge=0, lt=1)
    """On the pooled features."""

    def build(self, columns: list[Any], tables: Any) -> ResNetSmallEncoder:
        return ResNetSmallEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        epochs = 30 if rows < 5_000 else 20 if rows < 20_000 else 12
        return {"epochs": epochs, "batch_size": 64 if rows < 20_000 else 128, "learning_rate": 3e-3}


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside the identity (or a 1 x 1 convolution where the width changes)."""

    def __init__(self, inputs: int, outputs: int, norm: NormOptions):
        super().__init__()
        bias = norm.type == "none"
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.norm1, self.norm2 = norm.maps(outputs), norm.maps(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        scale = getattr(self.norm2, "weight", None)
        if scale is not None:
            nn.init.zeros_(scale)  # each block begins as the identity

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x))


class ResNetSmallEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> maps of each stage, tokens of the last, pooled (B, 2 D)."""

    def __init__(self, column: Any, o: ResNetSmall):
        super().__init__(column)
        channels, y, x = self.shape
        side = min(y, x)
        count = o.stages or max(1, min(5, (max(side, 4) // 4).bit_length()))
        # pictures from 48 pixels on are halved once by the stem, or the first stage would cost more than all others
        step = 2 if side >= 48 else 1
        self.stem = nn.Sequential(nn.Conv2d(channels, o.width, 3, step, 1, bias=False), o.norm.maps(o.width), nn.ReLU())
        stages, maps, width, stride = [], [], o.width, step
        for i in range(count):
            outputs = o.width * 2**i
            blocks: list[nn.Module] = [] if i == 0 else [nn.MaxPool2d(2, ceil_mode=True)]
            stride *= 1 if i == 0 else 2
            blocks += [Residual(width if b == 0 else outputs, outputs, o.norm) for b in range(o.blocks)]
            stages.append(nn.Sequential(*blocks))
            maps.append((outputs, stride))
            width = outputs
        self.stages = nn.ModuleList(stages)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=2 * width, tokens=width, maps=tuple(maps))

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        x, maps = self.stem(embedded), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        return Features(pooled=self.drop(pooled), tokens=x.flatten(2).transpose(1, 2), maps=tuple(maps))
