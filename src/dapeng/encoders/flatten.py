"""A picture as a row of numbers, for a multi-layer perceptron."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from dapeng.core.kinds import EncoderOptions, encoders
from dapeng.data.batch import Cells
from dapeng.encoders.pixels import PictureEncoder
from dapeng.nn.features import Features, Widths


@encoders
class Flatten(EncoderOptions):
    """All pixels, normalised, in a row; fusion's trunk is then the network (an MLP).

    Example: `inputs: {image: {type: image, encoder: flatten}}` with `fusion: {type: concat, hidden: [128]}`
    """

    type: Literal["flatten"] = "flatten"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled"})

    def build(self, columns: list[Any], tables: Any) -> FlattenEncoder:
        return FlattenEncoder(columns[0])

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 20, "batch_size": 128, "learning_rate": 1e-3, "trunk": True}


class FlattenEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> pooled (B, C Y X)."""

    def __init__(self, column: Any):
        super().__init__(column)
        c, y, x = self.shape
        self.widths = Widths(pooled=c * y * x)

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        return Features(pooled=embedded.flatten(1))
