"""Boxes that were found beside the true ones: which of them match, and how precise they are along the way.

Matching and the 101-point average are COCO's (Lin et al.: Microsoft COCO, 2014, https://arxiv.org/abs/1405.0312): the surest box
first, each takes the true box of its class that it overlaps most. A picture's matches don't depend on other pictures, so that they
are found once, and weightings of pictures (a bootstrap) are sums over them.

Legend: D boxes found, N true ones, L levels of overlap, R weightings of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVELS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""Overlaps from which on a box is placed well."""
RECALLS = np.linspace(0, 1, 101)


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(D, N) intersection over union of boxes (D, 4) and (N, 4): x1, y1, x2, y2."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    both = areas(a)[:, None] + areas(b)[None] - shared
    return np.divide(shared, both, out=np.zeros_like(shared), where=both > 0)


def areas(boxes: np.ndarray) -> np.ndarray:
    """(N,)"""
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)


def matches(overlap: np.ndarray, ignored: np.ndarray, levels: Sequence[float] = LEVELS) -> np.ndarray:
    """(L, D) the true box that each found one takes, -1 for none. overlap: (D, N), the surest first, of one class and picture.

    ignored: (N,) true boxes that don't count; one is taken only where no other fits.
    """
    found, true = overlap.shape
    least = np.minimum(np.asarray(levels, np.float64), 1 - 1e-10)
    taken = np.zeros((len(least), true), bool)
    out = np.full((len(least), found), -1)
    if not true:
        return out
    last = np.arange(true)[::-1]  # of equal overlaps the later box is taken
    for d in range(found):
        fits = (overlap[d] >= least[:, None]) & ~taken
        counted = fits & ~ignored
        fits = np.where(counted.any(1, keepdims=True), counted, fits)
        best = last[np.where(fits, overlap[d], -1.0)[:, ::-1].argmax(1)]
        some = fits.any(1)
        out[some, d] = best[some]
        taken[some, best[some]] = True
    return out


@dataclass
class Ranked:
    """Found boxes of one class over all rows, the surest first.

    row, score: (D,). right, counted: (L, D) whether each matches a true box, and whether it counts at all. true: (rows,) boxes.
    """

    row: np.ndarray
    score: np.ndarray
    right: np.ndarray
    counted: np.ndarray
    true: np.ndarray

    def curve(self, level: int, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Recall and precision (R, D) after each box, under weightings (R, rows)."""
        weights = counts[:, self.row] * self.counted[level]
        right = np.cumsum(weights * self.right[level], 1)
        every = np.cumsum(weights, 1)
        true = counts @ self.true
        recall = np.divide(right, true[:, None], out=np.zeros_like(right), where=true[:, None] > 0)
        return recall, np.divide(right, every, out=np.zeros_like(right), where=every > 0)

    def average(self, level: int, counts: np.ndarray) -> np.ndarray:
        """(R,) precision at 101 recalls, averaged; nan where there is no true box."""
        recall, precision = self.curve(level, counts)
        if not recall.shape[1]:
            return np.where(counts @ self.true > 0, 0.0, np.nan)
        best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        best = np.concatenate([best, np.zeros((len(best), 1))], 1)
        at = np.array([np.searchsorted(r, RECALLS, "left") for r in recall])
        found = np.take_along_axis(best, at, 1).mean(1)
        return np.where(counts @ self.true > 0, found, np.nan)


Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Boxes (D, 4), scores (D,) and classes (D,) of one row."""
True_ = tuple[np.ndarray, np.ndarray]
"""Boxes (N, 4) and classes (N,) of one row."""


def ranked(
    found: Sequence[Found],
    true: Sequence[True_],
    label: int,
    levels: Sequence[float] = LEVELS,
    size: tuple[float, float] = (0.0, np.inf),
) -> Ranked:
    """The boxes of one class over all rows. size: least and largest area of those that count."""
    rows, scores, right, counted = [], [], [], []
    number = np.zeros(len(true))
    for row, ((boxes, score, codes), (wanted, classes)) in enumerate(zip(found, true)):
        mine, yours = np.flatnonzero(codes == label), wanted[classes == label]
        mine = mine[np.argsort(-score[mine], kind="stable")]
        own = areas(yours)
        ignored = (own < size[0]) | (own > size[1])
        number[row] = (~ignored).sum()
        taken = matches(overlaps(boxes[mine], yours), ignored, levels)
        area = areas(boxes[mine])
        outside = (area < size[0]) | (area > size[1])
        hit = taken >= 0
        dropped = np.where(hit, ignored[taken] if len(yours) else False, outside)
        rows.append(np.full(len(mine), row))
        scores.append(score[mine])
        right.append(hit & ~dropped)
        counted.append(~dropped)
    row, score = np.concatenate(rows), np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    return Ranked(
        row[order], score[order], np.concatenate(right, 1)[:, order], np.concatenate(counted, 1)[:, order], number
    )


def average_precision(
    found: Sequence[Found], true: Sequence[True_], labels: int, levels: Sequence[float] = LEVELS
) -> float:
    """Mean over classes that occur, and over levels of overlap."""
    if not len(true):
        return 0.0
    one = np.ones((1, len(true)))
    each = [
        r.average(at, one)[0]
        for r in (ranked(found, true, c, levels) for c in range(labels))
        for at in range(len(levels))
    ]
    return float(np.nanmean(each)) if not np.isnan(each).all() else 0.0
