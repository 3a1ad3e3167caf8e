"""Residual networks of 18 to 152 layers.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2015 (https://arxiv.org/abs/1512.03385); bottlenecks stride in
their 3 x 3 convolution, as public weights do. Modules are named as in torchvision, whose weight files load, as do those of
transformers.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import NormOptions, encoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.encoders.pixels import PictureEncoder, normalisation_of
from dapeng.encoders.public import PublicOptions, without_prefix
from dapeng.nn.features import Features, Widths
from dapeng.public.folders import PublicFolder

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BOTTLENECKS = (50, 101, 152)
SMALL = 64
"""Side in pixels below which the first convolution is 3 x 3 and nothing is halved before the first stage."""


@encoders
class ResNet(PublicOptions):
    """A residual network. With 1,000 classes ResNet-18 has 11,689,512 parameters, ResNet-50 25,557,032.

    Paper: He et al., 2015, https://arxiv.org/abs/1512.03385
    Example: `inputs: {photo: {type: image, encoder: {type: resnet, depth: 50, weights: ./resnet-50}}}`
    """

    type: Literal["resnet"] = "resnet"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    tiny: ClassVar[dict[str, Any]] = {"width": 4}
    depth: Literal[18, 34, 50, 101, 152] = 18
    """Layers with weights, the classifier's counted."""
    width: int = Field(64, ge=1, le=1024)
    """Channels of the first stage; each stage doubles them."""
    stem: Literal["auto", "large", "small"] = "auto"
    """large: 7 x 7 convolution and pooling, a quarter of the size; small: 3 x 3. auto: small under 64 pixels."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    dropout: float = Field(0.0, ge=0, lt=1)
    """On the pooled features."""
    normalisation: Literal["data", "imagenet", "half"] = "data"
    """Mean and deviation that pixels are brought to; public weights decide it."""

    def build(self, columns: list[Any], tables: Any) -> ResNetEncoder:
        encoder = ResNetEncoder(columns[0], self)
        self.settled(encoder)
        return encoder

    def advice(self, rows: int) -> dict[str, Any]:
        if self.weights is not None:
            return {"epochs": 10 if rows < 5_000 else 4, "batch_size": 32, "learning_rate": 1e-3}
        epochs = 30 if rows < 5_000 else 20 if rows < 20_000 else 15
        return {"epochs": epochs, "batch_size": 64 if rows < 20_000 else 128, "learning_rate": 2e-3}

    def picture(self) -> dict[str, int]:
        return {"size": 224, "channels": 3} if self.weights is not None else {}

    def architecture(self, folder: PublicFolder) -> dict[str, Any]:
        config = folder.json("config.json")
        if config.get("model_type") == "resnet":
            depths, bottleneck = tuple(config.get("depths", ())), config.get("layer_type", "bottleneck") == "bottleneck"
            found = next((d for d, b in BLOCKS.items() if b == depths and (d in BOTTLENECKS) == bottleneck), None)
            width = int(config.get("embedding_size", 64))
        else:
            named = re.search(r"resnet_?(\d+)", str(config.get("architecture", "")))
            found, width = (int(named[1]) if named else None), 64
        if found not in BLOCKS:
            what = f"{folder.name} holds no ResNet of a depth that is known, but {config.get('model_type') or 'no config.json'}"
            raise SpecError(Problem("weights", what, f"one of the depths {', '.join(map(str, BLOCKS))}"))
        normalisation = normalisation_of(folder.json("preprocessor_config.json"))
        return {"depth": found, "width": width, "stem": "large", "normalisation": normalisation}

    def translated(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        state = without_prefix(state, "resnet.")
        return {_own_name(name): tensor for name, tensor in state.items()}


def _own_name(name: str) -> str:
    """transformers' name of a tensor as torchvision's; other names are left."""
    name = name.replace("embedder.embedder.convolution", "conv1").replace("embedder.embedder.normalization", "bn1")
    found = re.match(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(.*)", name)
    if not found:
        return name
    stage, block, rest = int(found[1]) + 1, found[2], found[3]
    rest = rest.replace("shortcut.convolution", "downsample.0").replace("shortcut.normalization", "downsample.1")
    rest = re.sub(r"layer\.(\d+)\.convolution", lambda m: f"conv{int(m[1]) + 1}", rest)
    rest = re.sub(r"layer\.(\d+)\.normalization", lambda m: f"bn{int(m[1]) + 1}", rest)
    return f"layer{stage}.{block}.{rest}"


class Block(nn.Module):
    """Two 3 x 3 convolutions, or 1 x 1, 3 x 3, 1 x 1 where it is a bottleneck, beside the residual."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool, norm: NormOptions):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        first, second = (1, stride) if bottleneck else (stride, 1)
        self.conv1 = nn.Conv2d(inputs, width, 1 if bottleneck else 3, first, 0 if bottleneck else 1, bias=False)
        self.bn1 = norm.maps(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, bias=False)
        self.bn2 = norm.maps(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False) if bottleneck else None
        self.bn3 = norm.maps(outputs) if bottleneck else None
        same = stride == 1 and inputs == outputs
        self.downsample = (
            None if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm.maps(outputs))
        )
        last = getattr(self.bn3 if bottleneck else self.bn2, "weight", None)
        if last is not None:
            nn.init.zeros_(last)  # each block begins as the identity (Goyal et al., 2017)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.conv3 is not None and self.bn3 is not None:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNetEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> maps of the four stages, tokens of the last, pooled (B, D): its mean."""

    def __init__(self, column: Any, o: ResNet):
        super().__init__(column, o.normalisation)
        channels, y, x = self.shape
        large = o.stem == "large" or (o.stem == "auto" and min(y, x) >= SMALL)
        self.conv1 = nn.Conv2d(channels, o.width, 7 if large else 3, 2 if large else 1, 3 if large else 1, bias=False)
        self.bn1 = o.norm.maps(o.width)
        self.pool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        bottleneck, inputs, stride, maps = o.depth in BOTTLENECKS, o.width, 4 if large else 1, []
        for number, count in enumerate(BLOCKS[o.depth]):
            width, step = o.width * 2**number, 1 if number == 0 else 2
            blocks = []
            for i in range(count):
                blocks.append(Block(inputs, width, step if i == 0 else 1, bottleneck, o.norm))
                inputs = 4 * width if bottleneck else width
            stride *= step
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
            maps.append((inputs, stride))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.drop = nn.Dropout(o.dropout) if o.dropout else nn.Identity()
        self.widths = Widths(pooled=inputs, tokens=inputs, maps=tuple(maps))

    def levels(self) -> list[nn.Module]:
        return [nn.ModuleList([self.conv1, self.bn1]), *self._stages()]

    def _stages(self) -> list[nn.Module]:
        return [self.get_submodule(f"layer{i}") for i in range(1, 5)]

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        x = self.pool(F.relu(self.bn1(self.conv1(embedded))))
        maps = []
        for stage in self._stages():
            x = stage(x)
            maps.append(x)
        return Features(pooled=self.drop(x.mean((2, 3))), tokens=x.flatten(2).transpose(1, 2), maps=tuple(maps))
