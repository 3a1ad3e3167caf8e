"""A small convolutional network that reaches 94 % on CIFAR-10 in eight passes.

Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024 (https://arxiv.org/abs/2404.00498).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import EncoderOptions, NormOptions, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.pixels import PictureEncoder
from dapeng.nn.features import Features, Widths

PATCH = 2
SHARPNESS = 5e-4
"""Added to the variances that whitening divides by, so that it doesn't blow up what never varies."""
SCALE = 1 / 9
"""Of the pooled features, so that the classes are told apart slowly at first."""


@encoders
class Airbench(EncoderOptions):
    """Whitened patches of 2 x 2 pixels, then three stages of two convolutions, each pooled: much accuracy for little computation.

    Paper: Jordan, 2024, https://arxiv.org/abs/2404.00498
    Example: `inputs: {photo: {type: image, encoder: airbench, augment: [flip, shift]}}`
    """

    type: Literal["airbench"] = "airbench"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    tiny: ClassVar[dict[str, Any]] = {"widths": [8, 16, 16]}
    widths: list[int] = Field(default=[64, 256, 256], min_length=1, max_length=5)
    """Channels of the stages, each at half the resolution of the one before."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    momentum: float = Field(0.4, gt=0, le=1)
    """Share of the newest batch in the running statistics of batch norms, which must follow quickly in a few hundred steps."""
    bias_rate: float = Field(1.0, gt=0, le=1000)
    """How much faster than the rest the biases of the norms learn: 64 in the paper, under plain gradient descent."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """On the pooled features."""

    def build(self, columns: list[Any], tables: Any) -> AirbenchEncoder:
        return AirbenchEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        epochs = 30 if rows < 5_000 else 20 if rows < 20_000 else 10
        return {"epochs": epochs, "batch_size": 64 if rows < 20_000 else 256, "learning_rate": 3e-3}


class AirbenchEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> maps of each stage, tokens of the last, pooled (B, D): its largest values."""

    filters: Tensor

    def __init__(self, column: Any, o: Airbench):
        super().__init__(column)
        channels, y, x = self.shape
        if min(y, x) < 2 ** len(o.widths) + 1:
            what = f"nothing is left of a picture of {y} x {x} pixels after {len(o.widths)} poolings"
            raise SpecError(
                Problem(f"inputs.{column.name}.encoder.widths", what, "name fewer stages, or larger pictures")
            )
        width = 2 * channels * PATCH**2
        start = nn.init.orthogonal_(torch.empty(width // 2, width // 2)).view(-1, channels, PATCH, PATCH)
        self.register_buffer("filters", torch.cat([start, -start]))
        self.bias = nn.Parameter(torch.zeros(width))
        stages: list[nn.Module] = []
        for outputs in o.widths:
            stages.append(
                nn.Sequential(
                    _convolution(width, outputs), nn.MaxPool2d(2), _norm(o, outputs), nn.GELU(),
                    _convolution(outputs, outputs), _norm(o, outputs), nn.GELU(),
                )
            )  # fmt: skip
            width = outputs
        self.stages = nn.ModuleList(stages)
        self.bias_rate = o.bias_rate
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        maps = tuple((w, 2 ** (i + 1)) for i, w in enumerate(o.widths))
        self.widths = Widths(pooled=width, tokens=width, maps=maps)

    def rates(self) -> Iterator[tuple[nn.Parameter, float]]:
        yield from super().rates()
        for module in self.modules() if self.bias_rate != 1 else ():
            bias = getattr(module, "bias", None)
            if isinstance(bias, nn.Parameter) and module is not self and not isinstance(module, nn.Conv2d):
                yield bias, self.bias_rate

    @torch.no_grad()
    def prime(self, cells: Cells) -> None:
        """Make the first convolution whiten the patches of these pictures: its filters are their principal directions."""
        pixels = self.embed(Cells({"pixels": cells["pixels"][:5_000]}))
        patches = F.unfold(pixels, PATCH).transpose(1, 2).flatten(0, 1)
        variances, directions = torch.linalg.eigh(patches.T.double() @ patches.double() / len(patches))
        filters = (directions / (variances + SHARPNESS).sqrt()).T.flip(0).float()
        self.filters.copy_(torch.cat([filters, -filters]).view_as(self.filters))

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        with torch.autocast(
            embedded.device.type, enabled=False
        ):  # small differences of large values are what it is after
            x = F.gelu(F.conv2d(embedded.float(), self.filters, self.bias))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return Features(pooled=self.drop(x.amax((2, 3)) * SCALE), tokens=x.flatten(2).transpose(1, 2), maps=tuple(maps))


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """3 x 3; as far as there are channels to take, it begins by passing them on."""
    made = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(made.weight[: min(inputs, outputs)].detach())
    return made


def _norm(options: Airbench, width: int) -> nn.Module:
    made = options.norm.maps(width)
    if isinstance(made, nn.BatchNorm2d):
        made.momentum = options.momentum
        ones = made.weight.detach()
        del made.weight  # what follows has a scale of its own
        made.register_buffer("weight", ones)
    return made
