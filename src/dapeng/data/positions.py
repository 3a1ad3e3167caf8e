"""Which rows are on which side, for tables of any length: block by block, so that memory does not grow with the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from dapeng.data.draws import uniform
from dapeng.data.kept import scratch

BLOCK = 1 << 20


def ranges(count: int) -> Iterator[slice]:
    """range(count), cut."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def counts(sides: np.ndarray) -> tuple[int, int, int]:
    """Rows that train, validate and test."""
    total = np.zeros(3, np.int64)
    for at in ranges(len(sides)):
        part = np.asarray(sides[at])
        total += np.bincount(part[part >= 0], minlength=3)[:3]
    train, validation, test = (int(t) for t in total)
    return train, validation, test


def digest(sides: np.ndarray) -> str:
    """SHA-256 of which row is on which side."""
    found = hashlib.sha256()
    for at in ranges(len(sides)):
        found.update(np.ascontiguousarray(sides[at]).tobytes())
    return found.hexdigest()


def on_side(sides: np.ndarray, side: int, left_out: np.ndarray, most: int | None = None, seed: int = 0) -> np.ndarray:
    """Positions of a side's rows, rising, without those left out (rising too); about `most` of them, drawn by a hash of the row."""
    share = 1.0 if most is None else most / max(counts(sides)[side], 1)
    out = scratch(counts(sides)[side], np.int64)
    filled = 0
    for at in ranges(len(sides)):
        chosen = np.asarray(sides[at]) == side
        a, b = np.searchsorted(left_out, [at.start, at.stop])
        chosen[left_out[a:b] - at.start] = False
        rows = np.flatnonzero(chosen) + at.start
        if share < 1:
            rows = rows[uniform(rows, 1, seed, side)[:, 0] < share]
        out[filled : filled + len(rows)] = rows
        filled += len(rows)
    return out[:filled]


def kept(rows: np.ndarray, keep: Iterator[np.ndarray]) -> np.ndarray:
    """Those positions that are kept; keep: a mask for each of the `ranges` of `rows`."""
    out = scratch(len(rows), np.int64)
    filled = 0
    for at, mask in zip(ranges(len(rows)), keep):
        some = np.asarray(rows[at])[mask]
        out[filled : filled + len(some)] = some
        filled += len(some)
    return out[:filled]
