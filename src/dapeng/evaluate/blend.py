"""Each member's share of the prediction, by what validation rows say.

Caruana et al.: Ensemble Selection from Libraries of Models, 2004: members are added greedily, with repetition.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dapeng.columns.base import Column

ROUNDS = 40
LEAST_GAIN = 0.002
ERRORS = 0.5
FEWEST_ROWS = 300


def blend_shares(
    column: Column, predictions: Mapping[str, Mapping[str, np.ndarray]], wanted: np.ndarray
) -> dict[str, float]:
    """Shares that sum to 1. The best member stands alone unless the blend is clearly better: by 0.2 % of its loss, and by
    half a standard error of the rows' differences.

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
    mixed = np.sum([s * a for s, a in zip(shares, arrays)], 0)
    gains = _losses(arrays[best], wanted, classes) - _losses(mixed, wanted, classes)
    if gains.mean() < max(LEAST_GAIN * alone[best], ERRORS * gains.std() / len(gains) ** 0.5):
        return {names[best]: 1.0}
    return {n: round(float(s), 4) for n, s in zip(names, shares) if s > 0}


def _loss(prediction: np.ndarray, wanted: np.ndarray, classes: bool) -> float:
    return float(_losses(prediction, wanted, classes).mean())


def _losses(prediction: np.ndarray, wanted: np.ndarray, classes: bool) -> np.ndarray:
    """(N,) log loss of classes, squared error of numbers."""
    if classes:
        return -np.log(np.clip(prediction[np.arange(len(wanted)), wanted], 1e-9, 1))
    return (prediction - wanted) ** 2
