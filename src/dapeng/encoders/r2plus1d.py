"""Convolutions over space and over time in turn: (2+1)D.

Tran et al.: A Closer Look at Spatiotemporal Convolutions for Action Recognition, 2018 (https://arxiv.org/abs/1711.11248): a t x d x d
convolution becomes a 1 x d x d and a t x 1 x 1 one, with as many weights together and a ReLU between them.

Legend: B rows, F frames, C channels, Y X picture, D width.
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
from dapeng.encoders.clips import ClipEncoder
from dapeng.nn.features import Features, Widths


@encoders
class R2Plus1D(EncoderOptions):
    """Residual blocks of convolutions over space, then over time, from scratch: what moves, and how.

    Paper: Tran et al., 2018, https://arxiv.org/abs/1711.11248
    Example: `inputs: {clip: {type: video, encoder: {type: r2plus1d, width: 32}}}`
    """

    type: Literal["r2plus1d"] = "r2plus1d"
    fits: ClassVar[tuple[str, ...]] = ("video",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    tiny: ClassVar[dict[str, Any]] = {"width": 8, "stages": 2, "dropout": 0.0}
    width: int = Field(16, ge=4, le=1024)
    """Channels of the first stage; each stage doubles them."""
    stages: int = Field(3, ge=1, le=5)
    """Stages, each at half the height and width of the one before."""
    halve: bool = True
    """Halve time too from one stage to the next, as long as there are four frames."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    dropout: float = Field(0.2, ge=0, lt=1)
    """On the pooled features."""

    def build(self, columns: list[Any], tables: Any) -> R2Plus1DEncoder:
        return R2Plus1DEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        epochs = 30 if rows < 5_000 else 20
        return {"epochs": epochs, "batch_size": 16 if rows < 5_000 else 32, "learning_rate": 2e-3}


def middle(inputs: int, outputs: int, size: int = 3, time: int = 3) -> int:
    """Channels between the two convolutions that give them as many weights as the one in three dimensions has (section 3.5)."""
    return time * size**2 * inputs * outputs // (size**2 * inputs + time * outputs)


class Convolution(nn.Module):
    """(B, C, F, Y, X) -> (B, D, F', Y', X'): over space, a norm and ReLU, over time."""

    def __init__(self, inputs: int, outputs: int, norm: NormOptions, step: int = 1, slower: int = 1, size: int = 3):
        super().__init__()
        between, pad = middle(inputs, outputs, size), size // 2
        self.space = nn.Conv3d(inputs, between, (1, size, size), (1, step, step), (0, pad, pad), bias=False)
        self.time = nn.Conv3d(between, outputs, (3, 1, 1), (slower, 1, 1), (1, 0, 0), bias=False)
        self.norm = norm.maps(between)

    def forward(self, x: Tensor) -> Tensor:
        return self.time(F.relu(normed(self.norm, self.space(x))))


class Residual(nn.Module):
    """Two (2+1)D convolutions beside the identity, or beside a 1 x 1 x 1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, norm: NormOptions, step: int, slower: int):
        super().__init__()
        self.conv1 = Convolution(inputs, outputs, norm, step, slower)
        self.conv2 = Convolution(outputs, outputs, norm)
        self.norm1, self.norm2 = norm.maps(outputs), norm.maps(outputs)
        same = inputs == outputs and step == slower == 1
        self.skip = nn.Identity() if same else nn.Conv3d(inputs, outputs, 1, (slower, step, step), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(normed(self.norm1, self.conv1(x)))
        return F.relu(normed(self.norm2, self.conv2(y)) + self.skip(x))


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """A norm of pictures over all frames: statistics by channel are those over (B, F, Y, X)."""
    return norm(x.flatten(2, 3)).unflatten(2, x.shape[2:4])


class R2Plus1DEncoder(ClipEncoder):
    """frames (B, F, C, Y, X) -> tokens (B, F', D), one for each moment that is left; pooled (B, 2 D): their mean and maximum."""

    def __init__(self, column: Any, o: R2Plus1D):
        super().__init__(column)
        channels, height, width = self.shape
        step = 2 if min(height, width) >= 16 else 1
        self.stem, self.norm = Convolution(channels, o.width, o.norm, step, size=5), o.norm.maps(o.width)
        blocks, inputs, frames, stride = [], o.width, self.frames, 1
        for stage in range(o.stages):
            outputs = o.width * 2**stage
            slower = 2 if stage and o.halve and frames >= 4 else 1
            blocks.append(Residual(inputs, outputs, o.norm, 2 if stage else 1, slower))
            inputs, frames, stride = outputs, -(-frames // slower), stride * slower
        self.stages = nn.ModuleList(blocks)
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=2 * inputs, tokens=inputs, stride=stride)

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        x = embedded.transpose(1, 2).contiguous()  # (B, C, F, Y, X)
        x = F.relu(normed(self.norm, self.stem(x)))
        for stage in self.stages:
            x = stage(x)
        pooled = torch.cat([x.mean((2, 3, 4)), x.amax((2, 3, 4))], 1)
        return Features(pooled=self.drop(pooled), tokens=x.mean((3, 4)).mT.contiguous())
