"""Tables of label by label that classes and sets share."""

from __future__ import annotations

from typing import Any

import numpy as np

from dapeng.metrics.base import Drawn, LabelView
from dapeng.metrics.confusion import f1, precision, recall


def per_label(
    view: LabelView, labels: list[str], area: dict[int, float], average: dict[int, float]
) -> list[dict[str, Any]]:
    """Every label's rows and figures. area, average: of the labels' curves, where they have one."""
    drawn = Drawn(view, np.ones((1, view.rows)))
    columns = {"precision": precision(drawn)[0], "recall": recall(drawn)[0], "f1": f1(drawn)[0]}
    true, said, hits = drawn.true[0], drawn.said[0], drawn.hits[0]
    rows = []
    for c, label in enumerate(labels):
        negatives, left = view.rows - true[c], view.rows - said[c]
        row: dict[str, Any] = {"label": label, "rows": int(true[c]), "predicted": int(said[c])}
        row |= {n: float(v[c]) for n, v in columns.items()}
        row["specificity"] = float(1 - (said[c] - hits[c]) / negatives) if negatives else None
        row["npv"] = float(1 - (true[c] - hits[c]) / left) if left else None
        rows.append(row | {"auroc": area.get(c), "auprc": average.get(c)})
    return rows


def places_in(labels: list[str], mine: list[str]) -> np.ndarray:
    """Where each of one column's labels lies among those of several."""
    at = {label: i for i, label in enumerate(labels)}
    return np.array([at[label] for label in mine], np.int64)


def spread_to(found: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """(N, A) by one column's labels, in terms of `size` labels."""
    out = np.zeros((len(found), size), found.dtype)
    out[:, places] = found
    return out
