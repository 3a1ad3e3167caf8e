"""N-gram models of written texts, by interpolated Kneser-Ney smoothing: what a language model has to beat.

Legend: P positions.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.core.kinds import LearnerOptions, learners
from dapeng.generate.kneser_ney import KneserNey
from dapeng.learners.base import Fitted, Inputs, Learner, Target


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
