"""A decoder from outside: a class is as likely as its prototype is near. Snell et al., 2017."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from dapeng.core.kinds import DecoderOptions, decoders
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.nn.features import Features, Widths


@decoders
class Prototypes(DecoderOptions):
    """A learned point for each class.

    Example: `outputs: {label: {type: category, decoder: prototypes}}`
    """

    type: Literal["prototypes"] = "prototypes"
    fits: ClassVar[tuple[str, ...]] = ("category",)

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> PrototypeDecoder:
        return PrototypeDecoder(widths, len(column.labels), loss.build(column))


class PrototypeDecoder(Decoder):
    """Target: codes (B,)."""

    def __init__(self, widths: Widths, classes: int, criterion: nn.Module):
        super().__init__()
        self.points = nn.Parameter(torch.randn(classes, widths.pooled or 1))
        self.criterion = criterion

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["codes"].shape[0])

    def logits(self, features: Features | None) -> Tensor:
        assert features is not None
        assert features.pooled is not None
        return -((features.pooled[:, None] - self.points) ** 2).sum(-1)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        return where_present(self.criterion(self.logits(features), target["codes"]), target)

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        return {"probabilities": self.logits(features).softmax(-1)}
