"""What counted for classical learners: LightGBM's own contributions (Lundberg et al., 2018, exact SHAP of trees); weight times value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.learners.base import Inputs
from dapeng.learners.trees import TreesLearner
from dapeng.product.product import Product


def contributions(
    product: Product, rows: pa.Table, base: Any, output: str, member: str, labels: np.ndarray | None
) -> list[dict[str, float]] | None:
    """For each row, by column: what it adds to the margin of the row's label, or to the number. None if the learner has no say."""
    learner = product.learners[output][member]
    seen = product.matrices(rows, base)
    if isinstance(learner, TreesLearner):
        return _trees(learner, seen, labels)
    return _linear(learner, seen, labels) if hasattr(learner, "design") else None


def _trees(learner: TreesLearner, seen: Inputs, labels: np.ndarray | None) -> list[dict[str, float]]:
    widths = [seen.matrices[n].shape[1] for n in learner.names]
    x = np.concatenate([np.asarray(seen.matrices[n], np.float32) for n in learner.names], 1)
    found = np.asarray(learner.booster.predict(x, pred_contrib=True, num_threads=1))
    if learner.classes > 2 and labels is not None:
        found = found.reshape(len(x), learner.classes, -1)[np.arange(len(x)), labels]
    elif learner.classes == 2 and labels is not None:
        found = np.where(labels[:, None] == 1, found, -found)
    return [_by_column(learner.names, widths, row) for row in found]


def _linear(learner: Any, seen: Inputs, labels: np.ndarray | None) -> list[dict[str, float]]:
    design = learner.design
    x = design.transform(seen)
    widths = []
    for at, how in enumerate(design.state.values()):
        size = len(design.arrays[f"{at}.kept"]) if how["kind"] == "text" else how["size"]
        widths.append(size * (2 if how.get("gaps") else 1))
    out = []
    for i in range(x.shape[0]):
        weights = learner.weights[labels[i] if labels is not None else 0]
        row = x[i].toarray()[0] if hasattr(x, "toarray") else x[i]
        out.append(_by_column(list(design.state), widths, row * weights))
    return out


def _by_column(names: list[str], widths: list[int], values: np.ndarray) -> dict[str, float]:
    out, at = {}, 0
    for name, width in zip(names, widths):
        out[name] = float(values[at : at + width].sum())
        at += width
    return out
