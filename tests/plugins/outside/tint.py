"""An encoder from outside, of a column type from outside."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.base import Encoder
from dapeng.nn.features import Features, Widths


@encoders
class Tint(EncoderOptions):
    """Red, green and blue through a layer of sines.

    Example: `inputs: {paint: {type: colour, encoder: {type: tint, width: 16}}}`
    """

    type: Literal["tint"] = "tint"
    fits: ClassVar[tuple[str, ...]] = ("colour",)
    width: int = Field(8, ge=1, le=512)
    """Width of the features."""

    def build(self, columns: list[Any], tables: Any) -> TintEncoder:
        return TintEncoder(self.width)


class TintEncoder(Encoder):
    """channels (B, 3) -> pooled (B, D)."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(3, width)
        self.widths = Widths(pooled=width)

    def embed(self, cells: Cells) -> Tensor:
        return cells["channels"] * 2 - 1

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return Features(pooled=(3 * self.linear(embedded)).sin())
