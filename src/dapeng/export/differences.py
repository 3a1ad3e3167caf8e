"""How far an export is from the original, and when that is too far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dapeng.columns.base import furthest
from dapeng.core.errors import RunError

TOLERANCE = 1e-4
SIZES = (1, 5, 64)
"""Rows of the batches that every export is checked with; fewer where they are of large pictures."""
MOST_ELEMENTS = 1 << 23


def largest(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The largest difference; relative to the size of what is larger than 1, so that units don't matter."""
    worst = 0.0
    for a, b in zip(found, wanted):
        if a.shape != b.shape:
            raise RunError(f"the export gives shape {a.shape} where the original gives {b.shape}")
        worst = max(worst, furthest(a, b))
    return worst


def sizes_for(elements: int) -> tuple[int, ...]:
    """Rows of the batches to check with, where a row has so many elements."""
    most = max(2, MOST_ELEMENTS // max(elements, 1))
    return tuple(dict.fromkeys(min(s, most) for s in SIZES))


def refuse_if_far(worst: float, what: str) -> float:
    """The difference again. Raises RunError above the tolerance."""
    if not worst <= TOLERANCE:
        raise RunError(
            f"{what} differs from the original by {worst:.2g}, more than {TOLERANCE:g}; nothing was kept",
            hint="another --format, or serve the run itself",
        )
    return worst
