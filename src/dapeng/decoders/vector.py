"""Fixed-length numbers: a linear layer."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import DecoderOptions, decoders
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, where_present
from dapeng.nn.features import Features, Widths
from dapeng.nn.members import head


@decoders
class Vector(DecoderOptions):
    """A linear layer over the pooled features, one output a number; ensemble members are averaged.

    Example: `outputs: {spectrum: {type: vector, loss: cosine, decoder: {type: vector, dropout: 0.1}}}`
    """

    type: Literal["vector"] = "vector"
    fits: ClassVar[tuple[str, ...]] = ("vector",)
    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    dropout: float = Field(0.0, ge=0, lt=1)
    """On the features."""

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> VectorDecoder:
        return VectorDecoder(widths, column.size, loss.build(column), self.dropout)


class VectorDecoder(Decoder):
    """Target: values (B, N), standardised. Elements are the numbers of rows."""

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})

    def __init__(self, widths: Widths, size: int, criterion: nn.Module, dropout: float):
        super().__init__()
        assert widths.pooled is not None
        self.size = size
        self.head = head(widths.pooled, widths.members, size)
        self.criterion = criterion
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def count(self, target: Cells) -> Tensor | int:
        rows = target["values"].shape[0]
        return rows * self.size if target.present is None else target.present.float() * self.size

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        x, wanted = self.values(features), target["values"]
        if x.dim() == 2:
            return where_present(self._each(x, wanted), target)
        return where_present(self._each(x, wanted[:, None].expand_as(x)).mean(1), target)

    def _each(self, x: Tensor, wanted: Tensor) -> Tensor:
        """Sum over the elements of each row: losses of numbers are elementwise."""
        return self.criterion(x, wanted).sum(-1)

    def values(self, features: Features | None) -> Tensor:
        """(B, N) or (B, M, N)."""
        assert features is not None
        return self.head(self.drop(features.pooled))

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        x = self.values(features).float()
        return {"mean": x if x.dim() == 2 else x.mean(1)}
