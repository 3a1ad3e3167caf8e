"""What counted for classical learners: LightGBM's own contributions (Lundberg et al., 2018, exact SHAP of trees); weight times value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.learners.base import Inputs
from dapeng.learners.trees import TreesLearner, table_of
from dapeng.product.product import Product


def contributions(
    product: Product, rows: pa.Table, base: Any, output: str, member: str, labels: np.ndarray | None
) -> list[dict[str, float]] | None:
    """For each row, by column: what it adds to the margin of the row's label, or to the number. None if the learner has no say."""
    learner = product.learners[output][member]
    seen = product.matrices(rows, base)
    if isinstance(learner, TreesLearner):
        return _trees(learner, seen, labels)
    told = learner.adds(seen)
    if told is not None:
        return told
    return _linear(learner, seen, labels) if hasattr(learner, "design") else None


def _trees(learner: TreesLearner, seen: Inputs, labels: np.ndarray | None) -> list[dict[str, float]]:
    widths = [seen.matrices[n].shape[1] for n in learner.names]
    x = table_of(seen, learner.names, learner.contrasts)[0]
    if learner.tags and labels is not None:
        each = [learner.boosters[label] for label in labels]
        found = np.concatenate([b.predict(x[i : i + 1], pred_contrib=True, num_threads=1) for i, b in enumerate(each)])
    else:
        found = np.asarray(learner.booster.predict(x, pred_contrib=True, num_threads=1))
    if learner.classes > 2 and labels is not None:
        found = found.reshape(len(x), learner.classes, -1)[np.arange(len(x)), labels]
    elif learner.classes == 2 and labels is not None:
        found = np.where(labels[:, None] == 1, found, -found)
    out = [_by_column(learner.names, widths, row) for row in found]
    if learner.contrasts is not None:  # a contrast's part goes to its columns, by how far each moves it
        terms = np.abs(np.nan_to_num(learner.contrasts.terms(seen)))
        each = found[:, None, sum(widths) : sum(widths) + terms.shape[2]]
        parts = (each * terms / np.maximum(terms.sum(1, keepdims=True), 1e-12)).sum(2)
        for columns, row in zip(out, parts):
            for name, part in zip(learner.contrasts.names, row):
                columns[name] += float(part)
    return out


def _linear(learner: Any, seen: Inputs, labels: np.ndarray | None) -> list[dict[str, float]]:
    design = learner.design
    x = design.transform(seen)
    widths = []
    for at, how in enumerate(design.state.values()):
        size = len(design.arrays[f"{at}.kept"]) if how["kind"] == "text" else how["size"]
        widths.append(size * (2 if how.get("gaps") else 1))
    out = []
    for i in range(x.shape[0]):
        weights = (
            learner.weights[labels[i]] if labels is not None else learner.weights.mean(0)
        )  # a vector's mean number
        row = x[i].toarray()[0] if hasattr(x, "toarray") else x[i]
        out.append(_by_column(list(design.state), widths, row * weights))
    return out


def _by_column(names: list[str], widths: list[int], values: np.ndarray) -> dict[str, float]:
    out, at = {}, 0
    for name, width in zip(names, widths):
        out[name] = float(values[at : at + width].sum())
        at += width
    return out
