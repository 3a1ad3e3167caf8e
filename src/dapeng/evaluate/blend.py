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
"""Rows at which what they choose counts as much as the plain mean of the members that they can't tell apart."""


def blend_shares(
    column: Column, predictions: Mapping[str, Mapping[str, np.ndarray]], wanted: np.ndarray
) -> dict[str, float]:
    """Shares that sum to 1. The best member stands alone unless the blend is clearly better: by 0.2 % of its loss, and by
    half a standard error of the rows' differences.

    predictions: by member, in the column's layout, of rows whose target is known. wanted: their truth.
    """
    names = list(predictions)
    if not len(wanted):
        return {names[0]: 1.0}
    arrays = [np.asarray(next(iter(predictions[n].values())), np.float64) for n in names]
    tensor = next(iter(predictions[names[0]]))

    def losses_of(mixed: np.ndarray) -> np.ndarray:
        return column.losses({tensor: mixed}, wanted)

    each = [losses_of(a) for a in arrays]
    alone = [float(e.mean()) for e in each]
    best = int(np.argmin(alone))
    counts = np.zeros(len(names))
    counts[best] = 1
    total = arrays[best].copy()
    for picked in range(1, ROUNDS):
        losses = [float(losses_of((total + a) / (picked + 1)).mean()) for a in arrays]
        next_one = int(np.argmin(losses))
        counts[next_one] += 1
        total += arrays[next_one]
    shares = counts / counts.sum()
    level = _level(each, best)
    trust = len(wanted) / (len(wanted) + FEWEST_ROWS)
    shares = trust * shares + (1 - trust) * level / level.sum()
    mixed = np.sum([s * a for s, a in zip(shares, arrays)], 0)
    gains = each[best] - losses_of(mixed)
    if gains.mean() < max(LEAST_GAIN * alone[best], ERRORS * gains.std() / len(gains) ** 0.5) * trust**2 - _spread(
        gains, trust
    ):
        return {names[best]: 1.0}
    return {n: round(float(s), 4) for n, s in zip(names, shares) if s > 0}


def _level(each: list[np.ndarray], best: int) -> np.ndarray:
    """(members,) 1 for those that these rows can't tell from the best one: worse by less than a standard error."""
    errors = [(e - each[best]).std() / len(e) ** 0.5 for e in each]
    return np.array([float(e.mean() - each[best].mean() <= s) for e, s in zip(each, errors)])


def _spread(gains: np.ndarray, trust: float) -> float:
    """What a blend may lose on few rows and still be preferred: a mean of models that can't be told apart is the safer bet."""
    return (1 - trust) * ERRORS * float(gains.std()) / len(gains) ** 0.5
