"""One of several labels: a linear layer and softmax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
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
    sharpness: Tensor

    def __init__(self, widths: Widths, classes: int, criterion: nn.Module, dropout: float):
        super().__init__()
        assert widths.pooled is not None
        self.head = head(widths.pooled, widths.members, classes)
        self.criterion = criterion
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        # fitted on validation rows after training (Guo et al., 2017); part of the weights, so of every export
        self.register_buffer("sharpness", torch.ones(()))

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
        logits = self.logits(features).float()
        if logits.dim() == 3:
            logits = logits.softmax(-1).mean(1).clamp(min=1e-30).log()
        return {"probabilities": (logits * self.sharpness).softmax(-1)}

    def calibrate(self, probabilities: Tensor, codes: Tensor) -> float:
        """Set the sharpness that gives these predictions (B, A) of rows with known codes (B,) the least log loss.

        Guo et al.: On Calibration of Modern Neural Networks, 2017 (https://arxiv.org/abs/1706.04599).
        """
        logs = probabilities.double().clamp(min=1e-12).log()
        factors = torch.logspace(-1.3, 0.7, 81, dtype=torch.float64)
        losses = [F.nll_loss((logs * f).log_softmax(-1), codes) for f in factors]
        best = float(factors[int(torch.stack(losses).argmin())])
        self.sharpness.mul_(best)
        return best
