"""LeNet-5, in today's dress or in that of 1998.

LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import ActivationOptions, EncoderOptions, activations, encoders
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.pixels import PictureEncoder
from dapeng.layers.perceptron import perceptron
from dapeng.nn.features import Features, Widths


@encoders
class LeNet(EncoderOptions):
    """Two convolutions with pooling and two full layers; for small pictures.

    Paper: LeCun et al., 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf
    Example: `inputs: {image: {type: image, encoder: lenet}}`
    """

    type: Literal["lenet"] = "lenet"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    channels: list[int] = Field(default=[6, 16], min_length=1, max_length=8)
    """Channels of the convolutions."""
    kernel: int = Field(5, ge=1, le=15)
    """Side of the convolutions' kernels."""
    hidden: list[int] = Field(default=[120, 84], max_length=8)
    """Widths of the full layers."""
    activation: Annotated[ActivationOptions, activations.choice(default="relu")] = DEFAULT
    pool: Literal["max", "average"] = "max"
    dropout: float = Field(0.0, ge=0, lt=1)
    """After each full layer."""

    def build(self, columns: list[Any], tables: Any) -> LeNetEncoder:
        return LeNetEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 15, "batch_size": 128, "learning_rate": 2e-3}


class LeNetEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> maps, and pooled (B, D)."""

    def __init__(self, column: Any, o: LeNet):
        super().__init__(column)
        channels, y, x = self.shape
        stages: list[nn.Module] = []
        maps: list[tuple[int, int]] = []
        for i, width in enumerate(o.channels):
            # the digits of 1998 were padded to 32 x 32; a map smaller than two kernels keeps its size
            pads = (i == 0 and min(y, x) < 32) or min(y, x) < 2 * o.kernel
            same = o.kernel // 2 if pads else 0
            pool = (nn.MaxPool2d if o.pool == "max" else nn.AvgPool2d)(2, ceil_mode=True)
            stages.append(nn.Sequential(nn.Conv2d(channels, width, o.kernel, padding=same), o.activation.build(), pool))
            y, x = ((s + 2 * same - o.kernel + 1 + 1) // 2 for s in (y, x))
            channels = width
            maps.append((width, 2 ** (i + 1)))
        self.stages = nn.ModuleList(stages)
        self.full = perceptron(channels * y * x, o.hidden, o.activation, dropout=o.dropout)
        self.widths = Widths(pooled=[channels * y * x, *o.hidden][-1], tokens=channels, maps=tuple(maps))

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        maps, x = [], embedded
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return Features(pooled=self.full(x.flatten(1)), tokens=x.flatten(2).transpose(1, 2), maps=tuple(maps))
