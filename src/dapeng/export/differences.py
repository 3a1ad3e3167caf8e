"""How far an export is from the original, and when that is too far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dapeng.core.errors import RunError

TOLERANCE = 1e-4
SIZES = (1, 5, 64)
"""Rows of the batches that every export is checked with."""


def largest(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The largest difference; relative to the size of what is larger than 1, so that units don't matter."""
    worst = 0.0
    for a, b in zip(found, wanted):
        if a.shape != b.shape:
            raise RunError(f"the export gives shape {a.shape} where the original gives {b.shape}")
        x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
        worst = max(worst, float((np.abs(x - y) / np.maximum(1.0, np.abs(y))).max(initial=0.0)))
    return worst


def refuse_if_far(worst: float, what: str) -> float:
    """The difference again. Raises RunError above the tolerance."""
    if not worst <= TOLERANCE:
        raise RunError(f"{what} differs from the original by {worst:.2g}, more than {TOLERANCE:g}; nothing was kept")
    return worst
