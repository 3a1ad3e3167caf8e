"""Each member's share of the prediction, by what validation rows say.

Caruana et al.: Ensemble Selection from Libraries of Models, 2004: members are added greedily, with repetition.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dapeng.columns.base import Column

ROUNDS = 40
LEAST_GAIN = 0.002
FEWEST_ROWS = 50


def blend_shares(column: Column, predictions: Mapping[str, Mapping[str, np.ndarray]], wanted: np.ndarray) -> dict[str, float]:
    """Shares that sum to 1. A single member stands alone unless the blend is better than it by at least 0.2 % of its loss.

    predictions: by member, in the column's layout, of rows whose target is known. wanted: codes, or values in units.
    """
    names = list(predictions)
    if not len(wanted):
        return {names[0]: 1.0}
    arrays = [np.asarray(next(iter(predictions[n].values())), np.float64) for n in names]
    classes = "probabilities" in predictions[names[0]]
    alone = [_loss(a, wanted, classes) for a in arrays]
    best = int(np.argmin(alone))
    if len(wanted) < FEWEST_ROWS:
        return {names[best]: 1.0}
    counts = np.zeros(len(names))
    counts[best] = 1
    total = arrays[best].copy()
    for picked in range(1, ROUNDS):
        losses = [_loss((total + a) / (picked + 1), wanted, classes) for a in arrays]
        next_one = int(np.argmin(losses))
        counts[next_one] += 1
        total += arrays[next_one]
    shares = counts / counts.sum()
    mixed = _loss(sum(s * a for s, a in zip(shares, arrays)), wanted, classes)  # type: ignore[arg-type]
    if mixed > alone[best] * (1 - LEAST_GAIN):
        return {names[best]: 1.0}
    return {n: round(float(s), 4) for n, s in zip(names, shares) if s > 0}


def _loss(prediction: np.ndarray, wanted: np.ndarray, classes: bool) -> float:
    """Log loss of classes, squared error of numbers."""
    if classes:
        return float(-np.log(np.clip(prediction[np.arange(len(wanted)), wanted], 1e-9, 1)).mean())
    return float(((prediction - wanted) ** 2).mean())
