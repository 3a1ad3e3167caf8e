"""The sentence that the others are most like.

Mihalcea and Tarau: TextRank, Bringing Order into Texts, 2004 (https://aclanthology.org/W04-3252/).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs, Target
from dapeng.learners.sentences import sentences
from dapeng.learners.telling import TellingOptions, longest_input
from dapeng.tokens.plain_words import words

DAMPING, TURNS, MOST = 0.85, 30, 60
SEVERAL = 1.5
"""Sentences of a text, in the mean, from which it makes sense to choose one."""


@learners
class TextRank(TellingOptions):
    """Answers with the sentence of the longest text input that ranks first among its sentences (PageRank over shared words).

    Paper: Mihalcea and Tarau, 2004, https://aclanthology.org/W04-3252/
    Example: `evaluate: {baselines: [textrank]}`
    """

    type: Literal["textrank"] = "textrank"

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return bool(inputs.texts) and several_sentences(longest_input(inputs))

    def learn(self, inputs: Inputs, answers: Sequence[str]) -> Callable[[Inputs], list[str]]:
        return lambda rows: [_first(t) for t in longest_input(rows)]


def several_sentences(texts: Sequence[str]) -> bool:
    """Whether most of the first texts have more than one sentence."""
    return float(np.mean([len(sentences(t)) for t in texts[:500]] or [0])) > SEVERAL


def _first(text: str) -> str:
    found = sentences(text)[:MOST]
    if len(found) < 3:
        return found[0]
    return found[int(np.argmax(ranks([set(words(s)) for s in found])))]


def ranks(said: list[set[str]]) -> np.ndarray:
    """(S,) PageRank of sentences: shared words over the logarithms of their lengths."""
    size = len(said)
    alike = np.zeros((size, size))
    for i in range(size):
        for j in range(i):
            length = np.log(max(len(said[i]), 1)) + np.log(max(len(said[j]), 1))
            alike[i, j] = alike[j, i] = len(said[i] & said[j]) / length if length > 0 else 0.0
    total = alike.sum(0)
    way = np.divide(alike, total, out=np.full_like(alike, 1 / size), where=total > 0)
    rank = np.full(size, 1 / size)
    for _ in range(TURNS):
        rank = (1 - DAMPING) / size + DAMPING * way @ rank
    return rank
