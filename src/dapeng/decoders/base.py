"""What produces an output column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dapeng.data.batch import Cells
from dapeng.nn.features import Features


class Decoder(nn.Module):
    """Features -> loss and prediction of one output column.

    needs: what it reads of Features. reads: names of inputs whose unfused features it reads, which come as a dictionary by name;
    None: the fused ones.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    reads: tuple[str, ...] | None = None
    sees_target: ClassVar[bool] = False
    """True if a prediction says, beside its own answer, how likely the true one is, where that is at hand."""
    draws: ClassVar[bool] = False
    """True if a prediction begins with noise: then it is told which `rows` it is of, so that each has its own."""
    phase: Mapping[str, Any] = MappingProxyType({})
    """The phase of training that teaches it, as a spec would say it, where the spec names none; empty: a supervised one."""
    compares: ClassVar[bool] = False
    """True if a row is learnt by telling it from the others of its batch: micro-batches, and other processes' rows, would leave it fewer."""
    searches: ClassVar[bool] = False
    """True if a prediction is found step by step, with branches on data: no function of tensors that an export could hold."""

    takes: ClassVar[frozenset[str]] = frozenset()
    """Options of `predict` that a user can give where predictions are made."""

    def count(self, target: Cells) -> Tensor | int:
        """(B,) elements of each row, from the target alone; a plain number where nothing can be missing."""
        raise NotImplementedError

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        """(B,) sum of the loss over each row's elements, 0 where the target is missing."""
        raise NotImplementedError

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        """The tensors that the column's `predictions` names, in the network's units."""
        raise NotImplementedError

    def judged(self, features: Features | None, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and prediction, for validation: of the latter what the column's `score` asks for."""
        return self.loss(features, target), self.predict(features, size)

    def last(self) -> Iterator[nn.Parameter]:
        """Weights of the layer that gives the answer, which optimisers of matrices treat as AdamW does."""
        head = getattr(self, "head", None)
        if isinstance(head, nn.Module):
            yield from head.parameters()


def where_present(loss: Tensor, target: Cells) -> Tensor:
    """Zero where the target is missing, with no branch on data."""
    return loss if target.present is None else torch.where(target.present, loss, torch.zeros_like(loss))


def rows_present(target: Cells, size: int) -> Tensor | int:
    """One element a row that is there."""
    return size if target.present is None else target.present.float()
