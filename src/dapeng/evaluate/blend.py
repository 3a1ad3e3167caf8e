"""Each member's share of the prediction, by what validation rows say.

Caruana et al.: Ensemble Selection from Libraries of Models, 2004: members are added greedily, with repetition.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dapeng.columns.base import Column

ROUNDS = 40
FEWEST_ROWS = 1_000
"""Rows at which what they choose counts as much as the plain mean of the members that they can't tell apart."""
MANY_ROWS = 10_000
LEAST_SHARE = 0.02
LEAST_GAIN = 0.002
"""Share of its loss by which a blend must beat the best member where so many rows can tell: a second model costs time."""


def blend_shares(
    column: Column, predictions: Mapping[str, Mapping[str, np.ndarray]], wanted: np.ndarray
) -> dict[str, float]:
    """Shares that sum to 1: what these rows choose, leaning on the plain mean of the members that they can't tell apart from the
    best one, the more the fewer they are. Where they are many, the best member stands alone unless the blend is better.

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
    gain = alone[best] - float(losses_of(mixed).mean())
    if len(wanted) >= MANY_ROWS and gain < LEAST_GAIN * alone[best]:
        return {names[best]: 1.0}
    return {n: round(float(s), 4) for n, s in zip(names, shares) if s >= LEAST_SHARE}


def _level(each: list[np.ndarray], best: int) -> np.ndarray:
    """(members,) 1 for those that these rows can't tell from the best one: worse by less than a standard error."""
    errors = [(e - each[best]).std() / len(e) ** 0.5 for e in each]
    return np.array([float(e.mean() - each[best].mean() <= s) for e, s in zip(each, errors)])
