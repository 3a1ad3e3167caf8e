"""A convolutional network given as a list of layers, as in a textbook's exercise."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import EncoderOptions, LayerOptions, encoders, layers
from dapeng.data.batch import Cells
from dapeng.encoders.pixels import PictureEncoder
from dapeng.nn.features import Features, Widths

AnyLayer = Annotated[LayerOptions, layers.choice()]


@encoders
class CNN(EncoderOptions):
    """Layers of your own, in their order: conv, pool, global_pool, dropout, full; `dapeng help conv` and so on say their keys.

    Example: `encoder: {type: cnn, layers: [{type: conv, channels: 32}, pool, {type: full, width: 128}]}`
    """

    type: Literal["cnn"] = "cnn"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    gives: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "maps"})
    layers: list[AnyLayer] = Field(default=["conv", "pool", {"type": "conv", "channels": 64}, "pool"], min_length=1)  # type: ignore[assignment]
    """The layers, from the picture on."""

    def build(self, columns: list[Any], tables: Any) -> CNNEncoder:
        return CNNEncoder(columns[0], self)

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 15, "batch_size": 64, "learning_rate": 1e-3}


class CNNEncoder(PictureEncoder):
    """pixels (B, C, Y, X) -> the last map as tokens, and flat: pooled (B, D)."""

    def __init__(self, column: Any, o: CNN):
        super().__init__(column)
        shape, stack = self.shape, []
        for number, layer in enumerate(o.layers):
            module, after = layer.build(shape)
            if min(after) < 1:
                what = f"nothing is left of a map of {shape[1]} x {shape[2]} after {layer.type}"
                path = f"inputs.{column.name}.encoder.layers.{number}"
                raise SpecError(Problem(path, what, "use fewer or smaller pools, or larger pictures"))
            shape = after
            stack.append(module)
        self.stack = nn.Sequential(*stack)
        channels, y, x = shape
        self.widths = Widths(pooled=channels * y * x, tokens=channels, maps=((channels, max(1, self.shape[1] // y)),))

    def read(self, embedded: Tensor, cells: Cells) -> Features:
        x = self.stack(embedded)
        return Features(pooled=x.flatten(1), tokens=x.flatten(2).transpose(1, 2), maps=(x,))
