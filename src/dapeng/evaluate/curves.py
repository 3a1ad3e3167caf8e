"""What a report draws: ROC, precision-recall and calibration curves, histograms, truth against prediction; all thinned."""

from __future__ import annotations

from typing import Any

import numpy as np

from dapeng.data.draws import permutation
from dapeng.metrics.base import Drawn, LabelView, NumberView, ratio
from dapeng.metrics.probabilities import bins_of
from dapeng.metrics.ranking import area_under_roc, average_precision

POINTS = 80
MOST_CURVES = 10
MOST_DOTS = 600
CALIBRATION_BINS = 10
HISTOGRAM_BINS = 30


def class_curves(view: LabelView, labels: list[str], auroc: dict[int, float]) -> dict[str, Any]:
    """ROC and precision-recall of each class (the ten worst where there are more), and calibration."""
    shown = [c for c in view.asked if c in auroc]
    if len(shown) > MOST_CURVES:
        shown = sorted(shown, key=lambda c: auroc[c])[:MOST_CURVES]
    found: dict[str, Any] = {"roc": [], "pr": [], "calibration": calibration(view)}
    for label in shown:
        right, wrong = (c[0] for c in Drawn(view, np.ones((1, view.rows))).curve(label))
        rate, alarms = np.append(0.0, right / right[-1]), np.append(0.0, wrong / wrong[-1])
        precise = ratio(right, right + wrong)
        at = thin(alarms, rate)
        found["roc"].append({"label": labels[label], "x": rounded(alarms[at]), "y": rounded(rate[at])})
        at = thin(rate[1:], precise)
        found["pr"].append({"label": labels[label], "x": rounded(rate[1:][at]), "y": rounded(precise[at])})
    return found


def ranked_by_class(view: LabelView) -> tuple[dict[int, float], dict[int, float]]:
    """AUROC and average precision of each class that occurs beside another one."""
    area, precision = {}, {}
    for label in range(view.classes):
        count = int(view.has(label).sum())
        if 0 < count < view.rows:
            curve = Drawn(view, np.ones((1, view.rows))).curve(label)
            area[label], precision[label] = float(area_under_roc(*curve)[0]), float(average_precision(*curve)[0])
    return area, precision


def calibration(view: LabelView, bins: int = CALIBRATION_BINS) -> list[dict[str, float]]:
    """By bin of confidence: the mean confidence, the share that was right, and the number of rows."""
    confidence, true = view.believed
    at = bins_of(confidence, bins)
    rows = np.bincount(at, minlength=bins)
    said, right = np.bincount(at, confidence, bins), np.bincount(at, true, bins)
    return [
        {"confidence": round(said[b] / rows[b], 4), "right": round(right[b] / rows[b], 4), "rows": int(rows[b])}
        for b in np.flatnonzero(rows)
    ]


def thin(x: np.ndarray, y: np.ndarray, points: int = POINTS) -> np.ndarray:
    """Positions of at most so many points, at equal steps along the curve; the ends are kept."""
    if len(x) <= points:
        return np.arange(len(x))
    way = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    return np.unique(
        np.append(np.searchsorted(way, np.linspace(0, way[-1], points - 1)), len(x) - 1).clip(0, len(x) - 1)
    )


def rounded(values: np.ndarray) -> list[float]:
    return [float(f"{v:.4g}") for v in values]


def number_curves(view: NumberView, seed: int) -> dict[str, Any]:
    """Truth against prediction for some rows, and how the errors are spread."""
    chosen = np.sort(permutation(view.rows, seed, 47)[:MOST_DOTS])
    low, high = np.quantile(view.errors, [0.005, 0.995])
    counts, edges = np.histogram(view.errors.clip(low, high), HISTOGRAM_BINS)
    return {
        "dots": {"truth": rounded(view.values[chosen]), "predicted": rounded(view.predicted[chosen]), "of": view.rows},
        "errors": {"edges": rounded(edges), "counts": counts.tolist()},
    }


def number_distribution(view: NumberView) -> dict[str, Any]:
    """Histograms of truth and prediction over the same bins."""
    both = np.concatenate([view.values, view.predicted])
    edges = np.histogram_bin_edges(both, HISTOGRAM_BINS)
    truth, said = np.histogram(view.values, edges)[0], np.histogram(view.predicted, edges)[0]
    return {"edges": rounded(edges), "truth": truth.tolist(), "predicted": said.tolist()}
