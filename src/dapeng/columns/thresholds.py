"""From which probability on a label is said."""

from __future__ import annotations

import numpy as np

RESAMPLES = 51


def best_threshold(probabilities: np.ndarray, wanted: np.ndarray) -> float:
    """The cut of probabilities (N,) with the best F1 for flags (N,), halfway between two of them; 0.5 where no flag is set."""
    if not wanted.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    falling = probabilities[order]
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    hits = np.cumsum(wanted[order])[ends]
    f1 = 2 * hits / (ends + 1 + wanted.sum())
    best = int(f1.argmax())
    below = falling[ends[best + 1]] if best + 1 < len(ends) else 0.0
    return float(np.clip((falling[ends[best]] + below) / 2, 1e-6, 1 - 1e-6))


def steady_threshold(p: np.ndarray, flags: np.ndarray) -> float:
    """The cut of p (N,) with the best F1 for flags (N,), as the median over resamples of the rows: few positives make one jump.

    Breiman: Bagging Predictors, 1996.
    """
    draw = np.random.RandomState(0)
    found = []
    for _ in range(RESAMPLES):
        rows = draw.randint(0, len(p), len(p))
        if flags[rows].any():
            found.append(best_threshold(p[rows], flags[rows]))
    return float(np.median(found)) if found else best_threshold(p, flags)
