"""A number: a linear layer."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import DecoderOptions, decoders
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.nn.features import Features, Widths
from dapeng.nn.members import head


@decoders
class Value(DecoderOptions):
    """A linear layer over the pooled features; ensemble members are averaged.

    Example: `outputs: {price: {type: number, loss: huber, decoder: {type: value, dropout: 0.1}}}`
    """

    type: Literal["value"] = "value"
    fits: ClassVar[tuple[str, ...]] = ("number",)
    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    dropout: float = Field(0.0, ge=0, lt=1)
    """On the features."""
    activation: Literal["identity", "sigmoid", "relu"] = "identity"
    """Of the last layer; sigmoid and relu bound what can be predicted."""

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> ValueDecoder:
        return ValueDecoder(widths, loss.build(column), self.dropout, self.activation, len(loss.levels))


class ValueDecoder(Decoder):
    """Target: values (B,), standardised."""

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})

    def __init__(
        self, widths: Widths, criterion: nn.Module, dropout: float, activation: str = "identity", levels: int = 0
    ):
        super().__init__()
        assert widths.pooled is not None
        self.levels = levels
        self.head = head(widths.pooled, widths.members, levels or 1)
        self.criterion, self.activation = criterion, activation
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["values"].shape[0])

    def values(self, features: Features | None) -> Tensor:
        """(B,) or (B, M); with quantiles, (B, Q) or (B, M, Q)."""
        assert features is not None
        x = self.head(self.drop(features.pooled))
        x = x if self.levels else x[..., 0]
        return x if self.activation == "identity" else x.sigmoid() if self.activation == "sigmoid" else x.relu()

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        x, wanted = self.values(features), target["values"]
        members = x.dim() > (2 if self.levels else 1)
        if not members:
            return where_present(self.criterion(x, wanted), target)
        return where_present(self.criterion(x, wanted[:, None].expand(x.shape[:2])).mean(1), target)

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        x = self.values(features).float()
        if not self.levels:
            return {"mean": x if x.dim() == 1 else x.mean(1)}
        quantiles = (x if x.dim() == 2 else x.mean(1)).sort(-1).values  # quantiles that cross are put in order
        return {"mean": quantiles[:, (self.levels - 1) // 2], "quantiles": quantiles}
