"""One of several labels: a linear layer and softmax."""

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
class Class(DecoderOptions):
    """A linear layer over the pooled features, and softmax; ensemble members are averaged.

    Example: `outputs: {label: {type: category, decoder: {type: class, dropout: 0.2}}}`
    """

    type: Literal["class"] = "class"
    fits: ClassVar[tuple[str, ...]] = ("category",)
    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    dropout: float = Field(0.0, ge=0, lt=1)
    """On the features."""

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> ClassDecoder:
        return ClassDecoder(widths, len(column.labels), loss.build(column), self.dropout)


class ClassDecoder(Decoder):
    """Target: codes (B,), or probabilities (B, A) where it is soft (mixing, teachers, policies)."""

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})

    def __init__(self, widths: Widths, classes: int, criterion: nn.Module, dropout: float):
        super().__init__()
        assert widths.pooled is not None
        self.head = head(widths.pooled, widths.members, classes)
        self.criterion = criterion
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, next(iter(target.tensors.values())).shape[0])

    def logits(self, features: Features | None) -> Tensor:
        """(B, A) or (B, M, A)."""
        assert features is not None
        return self.head(self.drop(features.pooled))

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        logits = self.logits(features)
        soft = "probabilities" in target
        wanted = target["probabilities"] if soft else target["codes"]
        if logits.dim() == 2:
            return where_present(self.criterion(logits, wanted), target)
        members = logits.shape[1]
        every = self.criterion(logits.flatten(0, 1), wanted.repeat_interleave(members, 0))
        return where_present(every.view(-1, members).mean(1), target)

    def score(self, features: Features | None, target: Cells) -> Tensor:
        """(B,) log-likelihood of a given answer."""
        logs = self.log_probabilities(features)
        return where_present(logs.gather(1, target["codes"][:, None])[:, 0], target)

    def log_probabilities(self, features: Features | None) -> Tensor:
        p = self.predict(features, 0)["probabilities"]
        return p.clamp(min=1e-12).log()

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        p = self.logits(features).float().softmax(-1)
        return {"probabilities": p if p.dim() == 2 else p.mean(1)}
