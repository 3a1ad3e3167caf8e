"""The network as a function of named tensors: the signature of every export, made from the columns' layouts.

Inputs are "<group>.<tensor>", and "<group>.present" where cells can be absent; outputs "<output>.<tensor>" in the user's units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dapeng.core.errors import RunError
from dapeng.data.batch import Batch, Cells
from dapeng.data.feed import Rows
from dapeng.data.table import Source
from dapeng.export.differences import largest, sizes_for
from dapeng.models.predict import over_views, predict_batch
from dapeng.nn.lora import without_adapters
from dapeng.product.product import Product

PRESENT = "present"


def forget_sizes() -> None:
    """What torch noticed of sizes in earlier exports of this process, which it would rule out in the next."""
    torch.compiler.reset()


@dataclass(frozen=True)
class Name:
    """One tensor of the signature: whose it is, and what it is called in a file."""

    of: str
    tensor: str
    name: str


def names(pairs: Iterable[tuple[str, str]]) -> list[Name]:
    """Names that every runtime takes: letters, digits, dots and underscores; different where the originals differ."""
    out: list[Name] = []
    taken: set[str] = set()
    for of, tensor in pairs:
        stem = name = re.sub(r"[^0-9A-Za-z_]", "_", of) + "." + tensor
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name)
        out.append(Name(of, tensor, name))
    return out


class Flat(nn.Module):
    """Named tensors in, named tensors out, around a product's network."""

    def __init__(self, product: Product, batch: Batch):
        super().__init__()
        if product.model is None:
            raise RunError("this run has no network: its product is a classical model", hint="--format standalone")
        self.model = without_adapters(product.model.eval())
        self.units = product.outputs
        pairs: list[tuple[str, str]] = []
        for key in self.model.encoders:
            pairs += [(key, t) for t in batch[key].tensors]
            pairs += [(key, PRESENT)] if batch[key].present is not None else []
        self.inputs = names(pairs)
        self.outputs = names((o, t) for o, c in product.outputs.items() for t in c.predictions())

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        columns: dict[str, dict[str, Tensor]] = {}
        for name, tensor in zip(self.inputs, tensors):
            columns.setdefault(name.of, {})[name.tensor] = tensor
        cells = {c: Cells({k: v for k, v in t.items() if k != PRESENT}, t.get(PRESENT)) for c, t in columns.items()}
        found = over_views(self.model, Batch(cells, torch.arange(tensors[0].shape[0])), self.units)
        return tuple(found[n.of][n.tensor] for n in self.outputs)

    def apart(self, found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
        """How far answers in the order of the signature are from the original's. Raises RunError where their shapes differ."""
        worst = largest([], [])
        for output, column in self.units.items():
            mine = [(n.tensor, a, b) for n, a, b in zip(self.outputs, found, wanted) if n.of == output]
            if any(a.shape != b.shape for _, a, b in mine):
                worst = max(worst, largest([a for _, a, _ in mine], [b for _, _, b in mine]))  # says which shapes
            worst = max(worst, column.apart({n: a for n, a, _ in mine}, {n: b for n, _, b in mine}))
        return worst

    def sizes(self, batch: Batch) -> tuple[int, ...]:
        """Rows of the batches that it is checked with."""
        return sizes_for(max(sum(int(t[0].numel()) for t in c.tensors.values()) for c in batch.columns.values()))

    def arguments(self, batch: Batch) -> tuple[Tensor, ...]:
        """The tensors of a batch in the order of the signature."""
        return tuple(_tensor(batch[n.of], n.tensor) for n in self.inputs)

    def dynamic(self, batch: Batch) -> tuple[dict[int, Any], ...]:
        """Which axes may change: rows, and the length of texts, one size for each column."""
        rows = torch.export.Dim("rows", min=1)
        lengths: dict[str, Any] = {}
        out = []
        for n in self.inputs:
            axes = {0: rows}
            if n.tensor != PRESENT and "mask" in batch[n.of] and _tensor(batch[n.of], n.tensor).dim() > 1:
                axes[1] = lengths.setdefault(n.of, torch.export.Dim(f"length_{len(lengths)}", **self._lengths(n.of)))
            out.append(axes)
        return tuple(out)

    def _lengths(self, key: str) -> dict[str, int]:
        """The shortest and longest cells that are read: two tokens at least where a token is of many elements, since one is not like several."""
        encoder: Any = self.model.encoders[key]
        positions = getattr(encoder, "positions", None)  # fixed positions end somewhere
        most = int(positions.shape[0]) if positions is not None else 65_536 * encoder.widths.stride
        return {"min": 1 if encoder.widths.stride == 1 else 2 * encoder.widths.stride, "max": most}


def _tensor(cells: Cells, name: str) -> Tensor:
    if name == PRESENT:
        assert cells.present is not None
        return cells.present
    return cells[name]


def batches_of(product: Product, source: Source, sizes: tuple[int, ...]) -> list[Batch]:
    """Batches of these sizes out of rows that can be read, repeated where there are too few."""
    store = product.store(source)
    good = np.setdiff1d(np.arange(store.rows), store.left_out)
    if not len(good):
        raise RunError("there is no row that can be read, to check the export with")
    reader = Rows(store, [g.key for g in store.inputs])
    return [reader.batch(np.resize(good, size)) for size in sizes]


def example(product: Product, source: Source) -> Batch:
    """A batch to trace with: more than one row, and more than one token, so that no size looks fixed."""
    batch = batches_of(product, source, (7,))[0]
    columns = {}
    for key, cells in batch.columns.items():
        if "mask" in cells and cells["mask"].shape[1] < 3:
            wide = {
                n: nn.functional.pad(t, (0, 0) * (t.dim() - 2) + (0, 3 - t.shape[1])) for n, t in cells.tensors.items()
            }
            cells = Cells(wide, cells.present)
        columns[key] = cells
    return Batch(columns, batch.rows)


def eager(flat: Flat, batch: Batch) -> list[np.ndarray]:
    """What the run says of these cells, in the order of the signature."""
    found = predict_batch(flat.model, Batch(batch.columns, torch.arange(batch.size)), flat.units)
    return [found[n.of][n.tensor].float().numpy() for n in flat.outputs]
