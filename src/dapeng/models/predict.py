"""Predictions of a model for many rows, in the user's units, in the order of the rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dapeng.columns.base import Column, Dims
from dapeng.data.batch import Batch
from dapeng.data.feed import batches
from dapeng.data.stored import Store
from dapeng.models.model import Model
from dapeng.transforms.views import averaged

MOST_ELEMENTS = 1 << 22
"""Elements of the cells of a batch; a network's maps have some dozen times as many."""
Predictions = dict[str, dict[str, np.ndarray]]
"""By output, then by the names of the column's `predictions`; rows first."""


def in_units(raw: Mapping[str, Mapping[str, Tensor]], outputs: Mapping[str, Column]) -> dict[str, dict[str, Tensor]]:
    """A network's predictions in the user's units."""
    return {n: outputs[n].to_units(dict(p)) for n, p in raw.items()}


def over_views(
    model: Model, batch: Batch, outputs: Mapping[str, Column], **options: Any
) -> dict[str, dict[str, Tensor]]:
    """What a run says of a batch, in the user's units: the mean over all views of it. Exports hold this, so nothing here may leave tensors."""
    looks = [batch, *(view(batch) for view in model.views)]
    return averaged([in_units(model(look, **options), outputs) for look in looks])


def autocasting(device: str, dtype: torch.dtype | None) -> Any:
    return torch.autocast(device.partition(":")[0], dtype) if dtype is not None else contextlib.nullcontext()


def predict_batch(
    model: Model, batch: Batch, outputs: Mapping[str, Column], **options: Any
) -> dict[str, dict[str, Tensor]]:
    """One batch, without gradients, over all views of it."""
    with torch.inference_mode():
        return over_views(model, batch, outputs, **options)


def predict_rows(
    model: Model,
    store: Store,
    rows: np.ndarray,
    outputs: Mapping[str, Column],
    batch_size: int = 512,
    device: str = "cpu",
    autocast: torch.dtype | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    change: Callable[[Batch], Batch] | None = None,
) -> Predictions:
    """Predictions for positions of a store; padding and batching don't change them beyond rounding.

    options: of the decoders. change: of each batch before it is read.
    """
    parts: list[dict[str, dict[str, np.ndarray]]] = []
    order: list[np.ndarray] = []
    keys = [g.key for g in store.inputs] + [n for n, d in model.decoders.items() if d.sees_target and n in store.stored]
    model.eval()
    with autocasting(device, autocast):
        drawn = [d for n, c in outputs.items() if model.decoders[n].draws for d in c.predictions().values()]
        for batch in batches(store, rows, fitting(store, keys, batch_size, drawn), keys):
            batch = batch if change is None else change(batch)
            moved = batch.to(device) if device != "cpu" else batch
            found = predict_batch(model, moved, outputs, **options)
            parts.append(as_arrays(found))
            order.append(batch.rows.numpy())
    return gathered(parts, order, rows)


def as_arrays(found: Mapping[str, Mapping[str, Tensor]]) -> Predictions:
    """Predictions in memory: label pictures as they are, a byte a pixel; all else as floats."""
    return {
        n: {k: (t if t.dtype == torch.uint8 else t.float()).cpu().numpy() for k, t in p.items()}
        for n, p in found.items()
    }


def fitting(store: Store, keys: list[str], most: int, drawn: Sequence[Dims] = ()) -> int:
    """Rows of a batch: at most so many, and of large pictures fewer, read or drawn, whose maps would not fit into memory."""
    every = [*(d for k in keys for d in store.stored[k].layout.values()), *drawn]
    sizes = [d.sizes(B=1) for d in every if not d.ragged]
    return max(1, min(most, MOST_ELEMENTS // max(1, sum(int(np.prod(s)) for s in sizes))))


def gathered(parts: list[Predictions], order: list[np.ndarray], rows: np.ndarray) -> Predictions:
    """Batches of predictions put into the order of the rows that were asked for."""
    if not parts:
        return {}
    came = np.concatenate(order)
    back = np.empty(len(rows), np.int64)
    back[np.argsort(rows, kind="stable")] = np.argsort(came, kind="stable")
    return {n: {k: np.concatenate([p[n][k] for p in parts])[back] for k in parts[0][n]} for n in parts[0]}
