"""What one training step means. The loop is written once and asks this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dapeng.data.batch import Batch
from dapeng.data.feed import weight_of
from dapeng.models.model import Model


class Objective(nn.Module):
    """Owns the model and whatever else trains or teaches (critic, teacher, projections). It is what is wrapped and resumed.

    turns: one optimiser each. columns: extra columns that it asks for. weights: of each named loss.
    """

    turns: tuple[str, ...] = ("model",)
    columns: ClassVar[frozenset[str]] = frozenset()
    shown: tuple[str, ...] = ()
    """Of its `figures`, those that the line of progress tells."""

    def __init__(self, model: Model, weights: dict[str, float] | None = None):
        super().__init__()
        self.model = model
        self.weights = weights or {}

    def trainable(self, turn: str) -> list[nn.Parameter]:
        """Parameters that this turn's optimiser moves; each gets a gradient on every step."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def draw(self, batch: Batch, turn: str) -> Batch:
        """Random corruption that changes data or counts, before counting: masking, dropped inputs, mixing."""
        return batch

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        """Elements (times row weights) by loss: what the sums are divided by, known before backward."""
        weight = weight_of(batch)
        out: dict[str, Tensor | int] = {}
        for name, decoder in self.model.decoders.items():
            count = decoder.count(batch[name])
            if weight is not None:  # a plain number counts all rows of the batch together
                count = (count / batch.size if isinstance(count, int) else count) * weight
            out[name] = count
        return out

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        """{loss: (B,)}: the only training call. No `.item()`, no branch on data."""
        losses = self.model.losses(batch)
        weight = weight_of(batch)
        return losses if weight is None else {n: loss * weight for n, loss in losses.items()}

    def weight(self, name: str) -> float:
        return self.weights.get(name, 1.0)

    def predict(self, batch: Batch, **options: Any) -> dict[str, dict[str, Tensor]]:
        """The only prediction call while a strategy shards the parameters."""
        return self.model(batch, **options)

    def begins(self, first: bool) -> None:
        """Before its first step, or when it goes on. first: the model is as the spec starts it, else as an earlier phase left it."""

    def after(self, step: int) -> None:
        """After the update: target networks, momentum teachers."""

    def tell(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]] | None:
        """Sums and counts by name over a batch of validation rows, always the same for a row; None: it tells nothing itself."""
        return None

    def figures(self, means: Mapping[str, float]) -> dict[str, float]:
        """{"score": higher is better, "loss": ..., any other figure} out of the means of what was told."""
        raise NotImplementedError

    def beside(self) -> dict[str, Tensor]:
        """What a run that ends with it keeps beside its model's weights: a head that a later training can begin from."""
        return {}


def total(objective: Objective, losses: dict[str, Tensor], counts: dict[str, Tensor | float]) -> Tensor:
    """One scalar: each loss' sum over its count, times its weight."""
    terms = [losses[n].sum() * (objective.weight(n) / counts[n]) for n in losses]
    return terms[0] if len(terms) == 1 else torch.stack(terms).sum()
