"""Otsu's threshold: the value that cuts a histogram into two parts that differ most.

Otsu: A Threshold Selection Method from Gray-Level Histograms, 1979 (https://doi.org/10.1109/TSMC.1979.4310076).
"""

from __future__ import annotations

import numpy as np

BINS = 256


def otsu(values: np.ndarray) -> float:
    """The threshold with the largest variance between both parts; values above it are the second."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    counts, edges = np.histogram(values, BINS, (low, high))
    middle = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * middle) / np.maximum(below, 1)
    mean_above = (np.cumsum((counts * middle)[::-1]) / np.maximum(np.cumsum(counts[::-1]), 1))[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(edges[1:-1][int(between.argmax())])
