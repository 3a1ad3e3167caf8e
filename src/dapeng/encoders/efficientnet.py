"""EfficientNet-Lite: inverted bottlenecks without attention over channels, for processors without a GPU.

Tan, Le: EfficientNet, 2019 (https://arxiv.org/abs/1905.11946); Sandler et al.: MobileNetV2, 2018 (https://arxiv.org/abs/1801.04381);
Liu: Higher accuracy on vision models with EfficientNet-Lite, 2020.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import NormOptions, encoders, norms
from dapeng.data.batch import Cells
from dapeng.encoders.pixels import PictureEncoder
from dapeng.encoders.public import PublicOptions
from dapeng.nn.features import Features, Widths
from dapeng.public.folders import PublicFolder

SCALES = {"lite0": (1.0, 1.0, 224), "lite1": (1.0, 1.1, 240), "lite2": (1.1, 1.2, 260), "lite3": (1.2, 1.4, 280)}
"""Factors of channels and blocks, and the pictures' size that they were trained with."""
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride, expansion and channels of each stage."""
STEM, HEAD = 32, 1280


@encoders
class EfficientNet(PublicOptions):
    """EfficientNet-Lite: small and fast, mostly to start from its public weights; lite0 has 3,371,008 parameters and gives 1,280.

    Paper: Tan and Le, 2019, https://arxiv.org/abs/1905.11946
    Example: `inputs: {photo: {type: image, encoder: {type: efficientnet, weights: sample:efficientnet, trained_layers: 0}}}`
    """

    type: Literal["efficientnet"] = "efficientnet"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    tiny: ClassVar[dict[str, Any]] = {"width": 0.25, "dropout": 0.0}
    variant: Literal["lite0", "lite1", "lite2", "lite3"] = "lite0"
    width: float = Field(1.0, gt=0, le=8)
    """Factor of all channels, beside the variant's."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = {"type": "batch", "eps": 1e-3}  # type: ignore[assignment]
    dropout: float = Field(0.2, ge=0, lt=1)
    """On the pooled features."""
    normalisation: Literal["data", "imagenet", "half"] = "data"
    """Mean and deviation that pixels are brought to; public weights decide it."""

    def build(self, columns: list[Any], tables: Any) -> EfficientNetEncoder:
        encoder = EfficientNetEncoder(columns[0], self)
        self.settled(encoder)
        return encoder

    def advice(self, rows: int) -> dict[str, Any]:
        if self.weights is not None:
            return {"epochs": 15 if rows < 5_000 else 4, "batch_size": 32, "learning_rate": 2e-3}
        return {"epochs": 30 if rows < 20_000 else 15, "batch_size": 64, "learning_rate": 2e-3}

    def picture(self) -> dict[str, int]:
        return {"size": SCALES[self.variant][2], "channels": 3} if self.weights is not None else {}

    def architecture(self, folder: PublicFolder) -> dict[str, Any]:
        config = folder.json("config.json")
        if config.get("model_type") != "efficientnet-lite" or config.get("variant") not in SCALES:
            what = f"{folder.name} holds no EfficientNet-Lite, but {config.get('model_type') or 'no config.json'}"
            raise SpecError(Problem("weights", what, "weights: sample:efficientnet"))
        return {"variant": config["variant"], "width": 1.0, "normalisation": "half"}

    def translated(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {_own_name(n, f"_blocks.{_number(n)}._expand_conv.weight" in state): t for n, t in state.items()}


def _number(name: str) -> str:
    found = re.match(r"_blocks\.(\d+)\.", name)
    return found[1] if found else ""


def _own_name(name: str, expands: bool) -> str:
    """The public name of a tensor as this network's."""
    name = re.sub(r"^_conv_stem", "stem.0", name)
    name = re.sub(r"^_bn0", "stem.1", name)
    name = re.sub(r"^_conv_head", "head.0", name)
    name = re.sub(r"^_bn1", "head.1", name)
    name = name.removeprefix("_")
    at = 3 if expands else 0
    parts = {
        "_expand_conv": 0,
        "_bn0": 1,
        "_depthwise_conv": at,
        "_bn1": at + 1,
        "_project_conv": at + 3,
        "_bn2": at + 4,
    }
    return re.sub(r"^(blocks\.\d+)\.(\w+)", lambda m: f"{m[1]}.layers.{parts.get(m[2], m[2])}", name)


def _rounded(channels: float) -> int:
    """Channels to a multiple of 8, never by more than a tenth down."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found


class Padded(nn.Conv2d):
    """A convolution whose output is the input's size over the stride, padded at the far side first, as these weights expect."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, step in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):
            total = max((-(-size // step) - 1) * step + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(input, pads) if any(pads) else input)


class Bottleneck(nn.Module):
    """1 x 1 up, a convolution of each channel alone, 1 x 1 down; beside the identity where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, norm: Any):
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(inputs, inner, 1, bias=False), norm(inner), nn.ReLU6()]
        layers += [Padded(inner, inner, kernel, stride, groups=inner, bias=False), norm(inner), nn.ReLU6()]
        layers += [nn.Conv2d(inner, outputs, 1, bias=False), norm(outputs)]
        self.layers = nn.Sequential(*layers)
        self.same = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.same else self.layers(x)


class EfficientNetEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> maps of the stages that halve the size, pooled (B, 1280 times the width)."""

    def __init__(self, column: Any, o: EfficientNet):
        super().__init__(column, o.normalisation)
        wide, deep, _ = SCALES[o.variant]
        first, last = _rounded(STEM * o.width), _rounded(HEAD * o.width)
        self.stem = nn.Sequential(Padded(self.shape[0], first, 3, 2, bias=False), o.norm.maps(first), nn.ReLU6())
        blocks, self.ends, maps = [], [], []
        inputs, total = first, 2
        for number, (count, kernel, stride, expansion, channels) in enumerate(STAGES):
            outputs = _rounded(channels * wide * o.width)
            # neither the first nor the last stage grows deeper
            repeats = count if number in (0, len(STAGES) - 1) else math.ceil(count * deep)
            for i in range(repeats):
                step = stride if i == 0 else 1
                if step == 2:
                    self.ends.append(len(blocks))
                    maps.append((inputs, total))
                    total *= 2
                blocks.append(Bottleneck(inputs, outputs, kernel, step, expansion, o.norm.maps))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Sequential(nn.Conv2d(inputs, last, 1, bias=False), o.norm.maps(last), nn.ReLU6())
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=last, tokens=last, maps=(*maps, (inputs, total)))

    def levels(self) -> list[nn.Module]:
        bounds = [0, *self.ends[1:], len(self.blocks)]
        stages = [nn.ModuleList(list(self.blocks)[a:b]) for a, b in pairwise(bounds)]
        return [self.stem, *stages, self.head]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        x, maps = self.stem(embedded), []
        for number, block in enumerate(self.blocks):
            if number in self.ends:
                maps.append(x)
            x = block(x)
        maps.append(x)
        x = self.head(x)
        return Features(pooled=self.drop(x.mean((2, 3))), tokens=x.flatten(2).transpose(1, 2), maps=tuple(maps))
