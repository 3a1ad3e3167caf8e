"""What a training step and a request look like: named tensors by column, rows first. Frozen, and pytrees.

Inputs, targets and roles lie in one flat mapping; like columns are one block, under the name of the block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Cells:
    """One column, or one block of like columns, for one batch.

    tensors: by name, as the column's `layout` says, with B first.
    present: (B,), or (B, K) for a block; None if every cell is there.
    """

    tensors: dict[str, Tensor]
    present: Tensor | None = None

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Cells:
        moved = {n: t.to(device, non_blocking=non_blocking) for n, t in self.tensors.items()}
        return Cells(moved, None if self.present is None else self.present.to(device, non_blocking=non_blocking))

    def take(self, index: Tensor | slice) -> Cells:
        """Some of the rows."""
        chosen = {n: t[index] for n, t in self.tensors.items()}
        return Cells(chosen, None if self.present is None else self.present[index])


@dataclass(frozen=True)
class Batch:
    """Rows of all columns. rows: (B,) int64 positions in the prepared table."""

    columns: dict[str, Cells] = field(default_factory=dict)
    rows: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def __getitem__(self, name: str) -> Cells:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    @property
    def size(self) -> int:
        """Number of rows; a symbol in an export, where len() would be a constant."""
        return self.rows.shape[0]

    def replace(self, columns: Mapping[str, Cells]) -> Batch:
        """The batch with some columns exchanged or added."""
        return Batch({**self.columns, **columns}, self.rows)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        moved = {n: c.to(device, non_blocking) for n, c in self.columns.items()}
        return Batch(moved, self.rows.to(device, non_blocking=non_blocking))

    def take(self, index: Tensor | slice) -> Batch:
        return Batch({n: c.take(index) for n, c in self.columns.items()}, self.rows[index])


def _flatten_cells(c: Cells):
    # an absent `present` is no leaf: vmap takes tensors alone
    names, marked = sorted(c.tensors), c.present is not None
    return [*(c.tensors[n] for n in names), *([c.present] if marked else [])], [names, marked]


def _unflatten_cells(values, context) -> Cells:
    names, marked = context
    *tensors, present = values if marked else [*values, None]
    return Cells(dict(zip(names, tensors)), present)


def _flatten_batch(b: Batch):
    names = sorted(b.columns)
    return [*(b.columns[n] for n in names), b.rows], names


def _unflatten_batch(values, names) -> Batch:
    *columns, rows = values
    return Batch(dict(zip(names, columns)), rows)


pytree.register_pytree_node(Cells, _flatten_cells, _unflatten_cells, serialized_type_name="dapeng.Cells")
pytree.register_pytree_node(Batch, _flatten_batch, _unflatten_batch, serialized_type_name="dapeng.Batch")
