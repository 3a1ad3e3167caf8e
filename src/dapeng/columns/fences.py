"""Where the usual values of a number column end, and what becomes of those beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

FAR = 4.0
"""Times the distance from the median to the outer sixteenth, on its side, past which a value is an outlier."""
Fences: TypeAlias = tuple[float, float]


def fences(points: np.ndarray, weights: np.ndarray | None = None) -> Fences | None:
    """Least and largest usual value, each side by its own spread, so that skewed columns keep their tail; None without spread.

    points: rising values, each as often as its weight says (once by default).
    """
    if not len(points):
        return None
    total = np.cumsum(np.ones(len(points)) if weights is None else weights)

    def at(share: float) -> float:
        return float(points[min(int(np.searchsorted(total, share * total[-1])), len(points) - 1)])

    middle = at(0.5)
    below, above = middle - at(1 / 16), at(15 / 16) - middle
    spread = max(below, above)  # a side where most values are the same borrows the other's
    if spread <= 0:
        spread = max(middle - at(1 / 100), at(99 / 100) - middle)
    if spread <= 0:
        return None
    return middle - FAR * (below or spread), middle + FAR * (above or spread)


def fenced(values: np.ndarray, how: str, bounds: Sequence[float] | None) -> np.ndarray:
    """Values with outliers clipped, or as nan where they count as missing."""
    if bounds is None or how == "keep":
        return values
    low, high = bounds
    if how == "clip":
        return np.clip(values, low, high)
    return np.where((values < low) | (values > high), np.nan, values)
