"""Any number of several labels: a linear layer and a sigmoid for each."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import DecoderOptions, decoders
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, where_present
from dapeng.nn.features import Features, Widths
from dapeng.nn.members import head


@decoders
class Tags(DecoderOptions):
    """A linear layer over the pooled features, and a sigmoid for each label; ensemble members are averaged.

    Example: `outputs: {genres: {type: set, decoder: {type: tags, dropout: 0.2}}}`
    """

    type: Literal["tags"] = "tags"
    fits: ClassVar[tuple[str, ...]] = ("set",)
    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    dropout: float = Field(0.0, ge=0, lt=1)
    """On the features."""

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> TagsDecoder:
        rates = torch.tensor(column.counts, dtype=torch.float32) / max(column.state["rows"], 1)
        return TagsDecoder(widths, rates, loss.build(column), self.dropout)


class TagsDecoder(Decoder):
    """Target: labels (B, A), 1 for each that applies, or probabilities (B, A) where it is soft. Elements are labels of rows."""

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})

    def __init__(self, widths: Widths, rates: Tensor, criterion: nn.Module, dropout: float):
        super().__init__()
        assert widths.pooled is not None
        self.labels = len(rates)
        self.head = head(widths.pooled, widths.members, self.labels)
        self.criterion = criterion
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        weight = getattr(criterion, "weight", None)
        if weight is not None:  # as if rows that have a label were so many times as many
            rates = weight * rates / (weight * rates + 1 - rates)
        with torch.no_grad():  # begins with the labels' own frequencies: most are rare (Lin et al., 2017, section 4.1)
            self.head.bias.copy_(rates.clamp(1e-3, 1 - 1e-3).logit())  # type: ignore[operator, union-attr]

    def count(self, target: Cells) -> Tensor | int:
        rows = next(iter(target.tensors.values())).shape[0]
        return rows * self.labels if target.present is None else target.present.float() * self.labels

    def logits(self, features: Features | None) -> Tensor:
        """(B, A) or (B, M, A)."""
        assert features is not None
        return self.head(self.drop(features.pooled))

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        logits = self.logits(features)
        wanted = (target["probabilities"] if "probabilities" in target else target["labels"]).float()
        if logits.dim() == 2:
            return where_present(self.criterion(logits, wanted), target)
        return where_present(self.criterion(logits, wanted[:, None].expand_as(logits)).mean(1), target)

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        p = self.logits(features).float().sigmoid()
        return {"probabilities": p if p.dim() == 2 else p.mean(1)}
