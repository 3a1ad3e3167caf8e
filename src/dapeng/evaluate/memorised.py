"""What a language model has by heart: the longest runs of what it writes that stand in its training texts.

Carlini et al.: Quantifying Memorization Across Neural Language Models, 2023 (https://arxiv.org/abs/2202.07646). Real texts that it
was not trained on are looked up the same way: what they share with the training texts is no memory, but the language's.

Legend: N tokens of training texts, S texts that are looked up, T tokens of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dapeng.data.stored import Stored
from dapeng.generate.sampling import Sampling
from dapeng.generate.writing import stream

TEXTS, TOKENS = 8, 256
MOST = 4_000_000
"""Training tokens that are searched, from the first on."""
BASE, FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
SHOWN = 300
"""Letters of a run that are shown."""


def memorised(column: Any, decoder: Any, stored: Stored, train: np.ndarray, test: np.ndarray) -> dict[str, Any] | None:
    """Longest matches of texts that the model writes freely, and of test texts; None where there is too little to look at.

    stored: the column's tokens. train, test: positions of its texts.
    """
    known = _tokens(stored, train, MOST)
    wanted = [t for t in (_text(stored, row)[1:-1] for row in test[: 8 * TEXTS].tolist()) if len(t) >= TOKENS // 4]
    if len(known) < 2 * TOKENS or not wanted:
        return None
    real = [t[:TOKENS] for t in wanted][:TEXTS]
    free = written(column, decoder, [len(t) for t in real])
    sizes, at = longest_runs(known, free)
    usual, _ = longest_runs(known, real)
    worst = int(np.argmax(sizes))
    start = int(at[worst])
    run = free[worst][start : start + int(sizes[worst])]
    return {
        "texts": [column.codec.decode(t.tolist()) for t in free],
        "tokens": [len(t) for t in free],
        "longest": sizes.tolist(),
        "longest_of_real": usual.tolist(),
        "run": column.codec.decode(run.tolist())[:SHOWN],
        "searched": len(known),
        "of": int(sum(stored.offsets[train + 1] - stored.offsets[train])) if stored.offsets is not None else 0,
    }


def written(column: Any, decoder: Any, lengths: Sequence[int]) -> list[np.ndarray]:
    """Tokens of texts that are drawn as the model believes, from nothing on, of these lengths at most."""
    writing = decoder.writing(column.codec)
    numbers = [writing.add([column.codec.bos], Sampling(max_tokens=max(1, n), seed=i)) for i, n in enumerate(lengths)]
    found: dict[int, list[int]] = {n: [] for n in numbers}
    for piece in stream(writing):
        if piece.token is not None:
            found[piece.request].append(piece.token)
    return [np.asarray(found[n], np.int64) for n in numbers]


def longest_runs(known: np.ndarray, texts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(S,) tokens of the longest run of each text that stands in `known` (N,), and (S,) where it begins in the text.

    By halving: a run of T tokens holds one of T - 1. Runs are compared by 64-bit hashes.
    """
    low, high = np.zeros(len(texts), np.int64), np.array([len(t) for t in texts], np.int64)
    at = np.zeros(len(texts), np.int64)
    while (low < high).any():
        tried = (low + high + 1) // 2
        for size in np.unique(tried[low < high]).tolist():
            some = np.flatnonzero((tried == size) & (low < high)).tolist()
            hashes = [_hashes(texts[i], size) for i in some]
            there = _stand_in(known, np.concatenate(hashes), size)
            for i, hit in zip(some, np.split(there, np.cumsum([len(h) for h in hashes])[:-1])):
                if hit.any():
                    low[i], at[i] = size, int(np.argmax(hit))
                else:
                    high[i] = size - 1
    return low, at


def _stand_in(known: np.ndarray, asked: np.ndarray, size: int) -> np.ndarray:
    """Whether runs with these hashes are among the runs of so many tokens of `known`."""
    order = np.sort(asked)
    found = np.zeros(len(order), bool)
    for start in range(0, len(known), 1 << 20):  # piece by piece: hashes of all of it would be large
        some = _hashes(known[start : start + (1 << 20) + size - 1], size)
        place = np.searchsorted(order, some)
        hit = place[(place < len(order)) & (order[np.minimum(place, len(order) - 1)] == some)]
        found[hit] = True
    return found[np.searchsorted(order, asked)]


def _hashes(tokens: np.ndarray, size: int) -> np.ndarray:
    """(N - size + 1,) uint64, of every run of so many tokens: doubled runs are put together of halves."""
    if len(tokens) < size:
        return np.empty(0, np.uint64)
    one = (np.asarray(tokens, np.uint64) + np.uint64(1)) * BASE
    one ^= one >> np.uint64(29)
    out, length, doubled, width = None, 0, one * FACTOR, 1
    left = size
    while left:
        if left & 1:
            out = doubled if out is None else _joined(out, doubled, length)
            length += width
        left >>= 1
        if left:
            doubled, width = _joined(doubled, doubled, width), 2 * width
    assert out is not None
    return out[: len(tokens) - size + 1]


def _joined(first: np.ndarray, second: np.ndarray, length: int) -> np.ndarray:
    """Hashes of runs that go on with others `length` tokens later."""
    both = first[: len(second) - length] * FACTOR + second[length:]
    return both ^ (both >> np.uint64(31))


def _text(stored: Stored, row: int) -> np.ndarray:
    assert stored.offsets is not None
    return np.asarray(stored.tensors["ids"][stored.offsets[row] : stored.offsets[row + 1]], np.int64)


def _tokens(stored: Stored, rows: np.ndarray, most: int) -> np.ndarray:
    """Tokens of these texts one behind the other, at most so many."""
    assert stored.offsets is not None
    parts, count = [np.empty(0, np.int32)], 0
    for row in rows.tolist():
        start, end = stored.offsets[row], stored.offsets[row + 1]
        parts.append(np.array(stored.tensors["ids"][start : min(end, start + most - count)], np.int32))
        count += len(parts[-1])
        if count >= most:
            break
    return np.concatenate(parts)
