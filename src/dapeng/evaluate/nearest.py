"""Whether drawn pictures were learnt by heart: how near they lie to training pictures, beside real pictures that did not train."""

from __future__ import annotations

from typing import Any

import numpy as np

SIDE = 16
"""Longer side at which pictures are compared; larger ones are thinned."""
AT_ONCE = 1 << 24
"""Elements of the training pictures that are in memory at once."""
SHOWN = 8
COPY = 0.5
"""Of the distance that real pictures usually have, below which a drawn one counts as a copy."""


def nearest_pictures(
    drawn: np.ndarray, real: np.ndarray, stored: np.ndarray, trained: np.ndarray, count: int
) -> dict[str, Any] | None:
    """Distances of drawn pictures and of real ones, which did not train, to their nearest training pictures.

    All (N, C, Y, X) uint8; `trained` are the positions in `stored` of those that trained. Distances are root mean squares of pixels, 0
    to 1. copies: drawn ones that are nearer than half of what is usual among real ones; copies_of_real: real ones that are. shown: of the nearest drawn ones, the row among
    `drawn`, and the position of its training picture.
    """
    if not len(drawn) or not len(trained):
        return None
    at = np.unique(np.linspace(0, len(drawn) - 1, min(count, len(drawn))).astype(int))
    far, which = _nearest(_thinned(drawn[at]), stored, trained)
    usual, _ = _nearest(_thinned(real[at]), stored, trained)
    order = np.argsort(far, kind="stable")[:SHOWN]
    return {
        "searched": len(trained),
        "drawn": [round(float(v), 5) for v in far],
        "real": [round(float(v), 5) for v in usual],
        "copies": int((far < COPY * np.median(usual)).sum()),
        "copies_of_real": int((usual < COPY * np.median(usual)).sum()),
        "shown": [{"row": int(at[i]), "trained": int(which[i]), "apart": float(far[i])} for i in order],
    }


def _thinned(pictures: np.ndarray) -> np.ndarray:
    """(N, F) float32 from 0 to 1."""
    step = max(1, -(-max(pictures.shape[2:]) // (2 * SIDE)))
    return (np.asarray(pictures)[:, :, ::step, ::step].astype(np.float32) / 255).reshape(len(pictures), -1)


def _nearest(few: np.ndarray, stored: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) distance to the nearest of the stored pictures in these rows, and the row of that."""
    best, which = np.full(len(few), np.inf), np.zeros(len(few), np.int64)
    some = max(1, AT_ONCE // int(np.prod(stored.shape[1:])))
    lengths = np.square(few).sum(1)
    for start in range(0, len(rows), some):
        at = rows[start : start + some]
        part = _thinned(stored[at])
        squares = lengths[:, None] + np.square(part).sum(1) - 2 * few @ part.T
        near = squares.argmin(1)
        value = squares[np.arange(len(few)), near]
        better = value < best
        best, which = np.where(better, value, best), np.where(better, at[near], which)
    return np.sqrt(np.maximum(best, 0) / few.shape[1]), which
