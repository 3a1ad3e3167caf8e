"""N-gram models of written texts, by interpolated Kneser-Ney smoothing: what a language model has to beat.

Kneser and Ney, 1995; three discounts an order as in Chen and Goodman: An Empirical Study of Smoothing Techniques for Language
Modeling, 1999 (https://doi.org/10.1006/csla.1999.0128); begins of texts keep their counts, as in Heafield: KenLM, 2011.

Counting is sorting: an n-gram is a number made of that of its first n - 1 tokens and of its last. Legend: P positions, G grams of
an order, H contexts of an order, V vocabulary.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where too few grams were seen once, twice, three or four times to tell, as KenLM has them."""


class NGrams(LearnerOptions):
    """Each token by the counts of those before it, over the tokens of the column itself."""

    type: str
    order: ClassVar[int]
    fits: ClassVar[tuple[str, ...]] = ("text",)

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return not inputs.columns and not getattr(target.column, "chat", False)

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        tokens, before = sequence(target)
        model = KneserNey.counted(tokens, before, self.order, target.column.codec.size)  # type: ignore[attr-defined]
        grams = sum(len(o.keys) for o in model.orders)
        return Fitted(NGramLearner(model), time.process_time() - began, f"{grams:,} n-grams", {"grams": grams})


@learners
class Unigram(NGrams):
    """How often each token is written, whatever was before it.

    Example: `evaluate: {baselines: [ngram_1]}`
    """

    type: Literal["ngram_1"] = "ngram_1"
    order: ClassVar[int] = 1


@learners
class Bigram(NGrams):
    """Each token by the one before it: interpolated Kneser-Ney over the column's own tokens.

    Paper: Chen and Goodman, 1999, https://doi.org/10.1006/csla.1999.0128
    Example: `evaluate: {baselines: [ngram_2]}`
    """

    type: Literal["ngram_2"] = "ngram_2"
    order: ClassVar[int] = 2


@learners
class Trigram(NGrams):
    """Each token by the two before it: interpolated Kneser-Ney over the column's own tokens.

    Paper: Chen and Goodman, 1999, https://doi.org/10.1006/csla.1999.0128
    Example: `evaluate: {baselines: [ngram_3]}`
    """

    type: Literal["ngram_3"] = "ngram_3"
    order: ClassVar[int] = 3


@learners
class Fivegram(NGrams):
    """Each token by the four before it: interpolated Kneser-Ney over the column's own tokens.

    Paper: Chen and Goodman, 1999, https://doi.org/10.1006/csla.1999.0128
    Example: `evaluate: {baselines: [ngram_5]}`
    """

    type: Literal["ngram_5"] = "ngram_5"
    order: ClassVar[int] = 5


def sequence(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of all texts one behind the other, each from begin to end (P,), and how many of its text are before each (P,)."""
    codec: Any = target.column.codec  # type: ignore[attr-defined]
    flat, lengths = codec.encode([str(t) for t in target.values])
    ends = np.cumsum(lengths + 2)
    tokens = np.empty(int(ends[-1]) if len(ends) else 0, np.int64)
    starts = ends - lengths - 2
    before = np.arange(len(tokens)) - np.repeat(starts, lengths + 2)
    inner = (before > 0) & (before <= np.repeat(lengths, lengths + 2))
    tokens[inner], tokens[starts], tokens[ends - 1] = flat, codec.bos, codec.eos
    return tokens, before


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


class NGramLearner(Learner):
    """Says how likely texts are, and writes none."""

    name = "ngrams"

    def __init__(self, model: KneserNey):
        self.model = model

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        rows = inputs.rows
        return {"ids": np.zeros((rows, 1), np.int32), "nats": np.zeros(rows), "tokens": np.zeros(rows)}

    def judged(self, inputs: Inputs, target: Target) -> dict[str, np.ndarray]:
        tokens, before = sequence(target)
        nats = np.where(before > 0, -np.log(self.model.probabilities(tokens, before)), 0.0)
        row = np.cumsum(before == 0) - 1
        count = len(target.values)
        return {
            "ids": np.zeros((count, 1), np.int32),
            "nats": np.bincount(row, nats, count),
            "tokens": np.bincount(row, before > 0, count),
        }
