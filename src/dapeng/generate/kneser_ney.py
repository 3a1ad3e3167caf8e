"""N-gram models by interpolated Kneser-Ney smoothing.

Kneser and Ney, 1995; three discounts an order as in Chen and Goodman: An Empirical Study of Smoothing Techniques for Language
Modeling, 1999 (https://doi.org/10.1006/csla.1999.0128); begins of texts keep their counts, as in Heafield: KenLM, 2011.

Counting is sorting: an n-gram is a number made of that of its first n - 1 tokens and of its last. Legend: P positions, G grams of
an order, H contexts of an order, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where too few grams were seen once, twice, three or four times to tell, as KenLM has them."""


@dataclass
class Order:
    """One order of a model. keys: (G,) sorted, context * V + token. shares: (G,) of the context's count, discounted.

    left: (H,) what the discounts leave to the order below; 1 for a context that nothing follows.
    """

    keys: np.ndarray
    shares: np.ndarray
    left: np.ndarray

    def find(self, keys: np.ndarray) -> np.ndarray:
        """(P,) positions among the grams, -1 where a gram was not seen."""
        at = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        return np.where(self.keys[at] == keys, at, -1) if len(self.keys) else np.full(len(keys), -1)


class KneserNey:
    """orders: from the single token up. vocabulary: V, of which `written` can be written."""

    def __init__(self, orders: list[Order], vocabulary: int, written: int):
        self.orders, self.vocabulary, self.written = orders, vocabulary, written

    @classmethod
    def counted(cls, tokens: np.ndarray, before: np.ndarray, order: int, vocabulary: int) -> KneserNey:
        """From tokens of texts (P,), and how many of its text are before each (P,)."""
        grams, ids = _grams(tokens, before, order, vocabulary)
        orders = []
        for number in range(order):
            keys, _, counts, of_begin = grams[number]
            if number + 1 < order:  # below the highest, what counts is before how many tokens a gram can stand
                longer = grams[number + 1][1]
                counts = np.where(of_begin, counts, np.bincount(ids[number][longer], minlength=len(keys)))
            contexts = 1 if number == 0 else len(grams[number - 1][0])
            orders.append(_discounted(keys, counts, contexts, vocabulary))
        return cls(orders, vocabulary, vocabulary - 2)  # neither padding nor begin is ever written

    def probabilities(self, tokens: np.ndarray, before: np.ndarray) -> np.ndarray:
        """(P,) of each token, given those of its text before it; of a begin it means nothing."""
        found = np.full(len(tokens), 1 / self.written)
        ids = np.zeros(len(tokens), np.int64)
        for number, order in enumerate(self.orders):
            # the context is the gram of one order less that ends a token earlier
            context = ids if number == 0 else np.where(before >= number, np.roll(ids, 1), -1)
            at = order.find(np.where(context >= 0, context * self.vocabulary + tokens, -1))
            known = context >= 0
            share = np.where(at >= 0, order.shares[np.maximum(at, 0)], 0.0)
            left = np.where(known, order.left[np.maximum(context, 0)], 1.0)
            found = share + left * found
            ids = at
        return found

    def following(self, context: Sequence[int]) -> np.ndarray:
        """(V,) probabilities of what comes next, given the tokens before it, a begin first."""
        found = np.full(self.vocabulary, 1 / self.written)
        for number, order in enumerate(self.orders):
            if number > len(context):
                break
            place = self._place(context[len(context) - number :])
            if place < 0 or place >= len(order.left):
                continue
            first, last = np.searchsorted(order.keys, [place * self.vocabulary, (place + 1) * self.vocabulary])
            found = order.left[place] * found
            found[order.keys[first:last] - place * self.vocabulary] += order.shares[first:last]
        return found

    def _place(self, tokens: Sequence[int]) -> int:
        """Number of a gram in its order, -1 where it was not seen; of no tokens 0."""
        place = 0
        for token, order in zip(tokens, self.orders):
            place = int(order.find(np.array([place * self.vocabulary + token]))[0]) if place >= 0 else -1
        return place


def _grams(tokens: np.ndarray, before: np.ndarray, order: int, vocabulary: int) -> tuple[list[Any], list[np.ndarray]]:
    """By order: keys (G,) sorted, a position of each (G,), counts (G,), whether it begins a text (G,); and each position's gram (P,)."""
    grams, ids = [], []
    context = np.zeros(len(tokens), np.int64)
    for number in range(order):
        if number:
            context = np.where(before >= number, np.roll(ids[-1], 1), -1)
        keys = np.where(context >= 0, context * vocabulary + tokens, -1)
        there = np.flatnonzero(keys >= 0)
        found, first, inverse, counts = np.unique(
            keys[there], return_index=True, return_inverse=True, return_counts=True
        )
        own = np.full(len(tokens), -1)
        own[there] = inverse
        first = there[first]
        if not number:  # a begin is a context, and nobody writes it
            counts = np.bincount(inverse[before[there] > 0], minlength=len(found))
        grams.append((found, first, counts, (before[first] == number) & (number > 0)))
        ids.append(own)
    return grams, ids


def _discounted(keys: np.ndarray, counts: np.ndarray, contexts: int, vocabulary: int) -> Order:
    """Shares of the grams, and what is left to the order below."""
    followed = keys // vocabulary
    discounts = np.array([0.0, *_discounts(counts)])
    off = discounts[np.minimum(counts, 3)]
    totals = np.bincount(followed, counts, contexts)
    left = np.bincount(followed, np.minimum(off, counts), contexts)
    safe = np.maximum(totals, 1e-12)
    return Order(keys, np.maximum(counts - off, 0) / safe[followed], np.where(totals > 0, left / safe, 1.0))


def _discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """Of grams seen once, twice, and more often (Chen and Goodman)."""
    n = [int((counts == k).sum()) for k in range(1, 5)]
    if not all(n):
        return FALLBACK
    y = n[0] / (n[0] + 2 * n[1])
    found = [k + 1 - (k + 2) * y * n[k + 1] / n[k] for k in range(3)]
    return tuple(float(min(max(d, 0.0), k + 1)) for k, d in enumerate(found))  # type: ignore[return-value]
