"""Rows that are nearly the same as an earlier one: candidates that share a band of their signatures, each compared exactly.

Time and memory grow about in line with the rows: of rows that share a band each is compared with the first and with some before it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dapeng.data.shingles import Shingled

NEIGHBOURS = 8
"""Rows before it in a band with which a row is compared, beside the first."""


def near_earlier(
    texts: Shingled, order: np.ndarray, held: int, comparable: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """(len(order),) int64: of each row the place in `order` of an earlier one that stays and is nearly the same; -1: it stays.

    order: rows, those that are never dropped first, `held` of them. comparable: (rows, other rows) -> whether what is beside
    the texts is the same.
    """
    whole, counts = texts.whole[order], texts.counts[order]
    found = np.full(len(order), -1, np.int64)
    same = _equals(whole, counts, order, held, comparable)
    found[same >= 0] = same[same >= 0]
    left = np.flatnonzero((found < 0) & (counts > 0))
    pairs = _candidates(texts, order, left, held)
    first, second = order[pairs[:, 0]], order[pairs[:, 1]]
    pairs = pairs[comparable(first, second) & _may_be(texts, first, second)]
    alike = np.fromiter(
        (texts.jaccard(int(order[a]), int(order[b])) >= texts.threshold for a, b in pairs), bool, len(pairs)
    )
    pairs = pairs[alike]
    for a, b in pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]:
        if found[b] < 0 and found[a] < 0:  # what is dropped itself speaks against no other
            found[b] = a
    return found


def _equals(
    whole: np.ndarray,
    counts: np.ndarray,
    order: np.ndarray,
    held: int,
    comparable: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Of each row the first one with the same shingles, where that is another, and comparable; else -1."""
    _, start, group = np.unique(whole, return_index=True, return_inverse=True)
    first = start[group]
    again = (first != np.arange(len(order))) & (counts > 0) & (np.arange(len(order)) >= held)
    again[again] = comparable(order[first[again]], order[again])
    return np.where(again, first, -1)


def _candidates(texts: Shingled, order: np.ndarray, left: np.ndarray, held: int) -> np.ndarray:
    """(n, 2) places in `order`, the earlier one first, of rows that share a band; not two that both are held."""
    out = [np.empty(0, np.uint64)]
    for band in range(texts.bands.shape[1]):
        keys = np.asarray(texts.bands[:, band])[order[left]]
        turn = np.argsort(keys, kind="stable")
        rows, keys = left[turn], keys[turn]
        begins = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, bool)
        first = np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))
        behind = np.arange(len(keys)) - first
        for back in range(1, NEIGHBOURS + 2):
            at = np.flatnonzero(behind >= back if back <= NEIGHBOURS else behind > NEIGHBOURS)
            other = at - back if back <= NEIGHBOURS else first[at]
            a, b = rows[other], rows[at]
            wanted = b >= held
            out.append((b[wanted].astype(np.uint64) << np.uint64(32)) | a[wanted].astype(np.uint64))
        out = [np.unique(np.concatenate(out))]
    pairs = np.stack([out[0] & np.uint64(0xFFFFFFFF), out[0] >> np.uint64(32)], 1)
    return pairs.astype(np.int64)


def _may_be(texts: Shingled, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether two sets of such sizes can be that alike."""
    a, b = texts.counts[first], texts.counts[second]
    return np.minimum(a, b) >= texts.threshold * np.maximum(a, b)
