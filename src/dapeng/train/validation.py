"""Figures of a model on validation rows: one score to choose weights by, and what is shown beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from dapeng.columns.base import Column
from dapeng.data.batch import Batch
from dapeng.data.feed import batches
from dapeng.data.stored import Store, let_go
from dapeng.models.model import Model
from dapeng.models.predict import Predictions, as_arrays, autocasting, gathered, in_units
from dapeng.objectives.base import Objective


def truth(store: Store, name: str, column: Column, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a target says in the user's terms (`Column.truth`), and (N,) where it is there."""
    stored = store.stored[name]
    present = np.ones(len(rows), bool) if stored.present is None else np.asarray(stored.present[rows])
    return column.truth({n: of_rows(a, stored.offsets, rows) for n, a in stored.tensors.items()}), present


def of_rows(values: np.ndarray, offsets: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    """The cells of these rows; of ragged ones an array each."""
    if offsets is None:
        return np.asarray(values[rows])
    out = np.empty(len(rows), object)
    for number, (start, end) in enumerate(zip(offsets[rows], offsets[rows + 1])):
        out[number] = np.array(values[start:end])
        if number % 8 == 7:
            let_go(values)
    return out


def score(column: Column, prediction: Mapping[str, np.ndarray], wanted: np.ndarray) -> float:
    """Higher is better: accuracy of classes, R2 of numbers."""
    return column.score(dict(prediction), wanted)[1]


class OwnFigures:
    """Called by the loop: what an objective tells itself of fixed rows (`Objective.tell`), summed over batches of them."""

    def __init__(
        self,
        objective: Objective,
        store: Store,
        rows: np.ndarray,
        batch_size: int,
        device: str,
        autocast: torch.dtype | None,
    ):
        self.objective, self.store, self.rows = objective, store, rows
        self.batch_size, self.device, self.autocast = batch_size, device, autocast

    def __call__(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        counts: dict[str, float] = {}
        with torch.inference_mode(), autocasting(self.device, self.autocast):
            for batch in batches(self.store, self.rows, self.batch_size):
                told = self.objective.tell(batch.to(self.device) if self.device != "cpu" else batch)
                for name, (total, count) in (told or {}).items():
                    sums[name] = sums.get(name, 0.0) + float(total)
                    counts[name] = counts.get(name, 0.0) + float(count)
        return self.objective.figures({n: s / max(counts[n], 1e-8) for n, s in sums.items()})


class Validator:
    """Called by the loop: {"score", "loss", and a score for each output} of a model on fixed rows."""

    def __init__(
        self,
        model: Model,
        store: Store,
        rows: np.ndarray,
        outputs: Mapping[str, Column],
        weights: Mapping[str, float],
        batch_size: int,
        device: str,
        autocast: torch.dtype | None,
        known: Callable[[Batch], Batch] | None = None,
    ):
        self.model, self.store, self.rows, self.outputs, self.weights = model, store, rows, outputs, weights
        self.batch_size, self.device, self.autocast, self.known = batch_size, device, autocast, known
        self.predictions: Predictions = {}

    def __call__(self) -> dict[str, float]:
        if not len(self.rows):
            return {"score": 0.0, "loss": 0.0}
        sums = dict.fromkeys(self.outputs, 0.0)
        counts = dict.fromkeys(self.outputs, 0.0)
        parts, order = [], []
        with torch.inference_mode(), autocasting(self.device, self.autocast):
            for batch in batches(self.store, self.rows, self.batch_size):
                moved = batch.to(self.device) if self.device != "cpu" else batch
                moved = moved if self.known is None else self.known(moved)
                losses, raw = self.model.losses_and_predictions(moved)
                for name, loss in losses.items():
                    count = self.model.decoders[name].count(moved[name])
                    sums[name] += float(loss.sum())
                    counts[name] += count if isinstance(count, int) else float(count.sum())
                found = in_units(raw, self.outputs)
                parts.append(as_arrays(found))
                order.append(batch.rows.numpy())
        self.predictions = gathered(parts, order, self.rows)
        loss = sum(self.weights.get(n, 1.0) * sums[n] / max(counts[n], 1e-8) for n in sums)
        scores = {}
        for name, column in self.outputs.items():
            wanted, present = truth(self.store, name, column, self.rows)
            prediction = {k: v[present] for k, v in self.predictions[name].items()}
            figure, value = column.score(prediction, wanted[present])
            scores[f"{name}.{figure}"] = value
        return {"score": float(np.mean(list(scores.values()))), "loss": float(loss), **scores}
