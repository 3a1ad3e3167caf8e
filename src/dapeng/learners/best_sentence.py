"""The sentence of a passage that fits a question best.

Robertson et al.: Okapi at TREC-3, 1994 (BM25).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs, Target
from dapeng.learners.sentences import sentences
from dapeng.learners.telling import TellingOptions, longest_input
from dapeng.learners.textrank import several_sentences
from dapeng.tokens.plain_words import words

K, B = 1.5, 0.75


@learners
class BestSentence(TellingOptions):
    """Answers with the sentence of the longest text input that has most of the other text inputs' words (BM25).

    Example: `evaluate: {baselines: [best_sentence]}`
    """

    type: Literal["best_sentence"] = "best_sentence"

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return len(inputs.texts) > 1 and several_sentences(longest_input(inputs))

    def learn(self, inputs: Inputs, answers: Sequence[str]) -> Callable[[Inputs], list[str]]:
        name = max(inputs.texts, key=lambda n: sum(map(len, inputs.texts[n])))
        passages = list(dict.fromkeys(inputs.texts[name]))
        there: Counter[str] = Counter(w for p in passages for s in sentences(p) for w in set(words(s)))
        count = sum(len(sentences(p)) for p in passages)

        def told(word: str) -> float:
            return float(np.log(1 + (count - there[word] + 0.5) / (there[word] + 0.5)))

        def answer(rows: Inputs) -> list[str]:
            texts = rows.texts
            asked = [" ".join(t) for t in zip(*(t for n, t in texts.items() if n != name))]
            return [_best(p, q, told) for p, q in zip(texts[name], asked)]

        return answer


def _best(passage: str, question: str, told: Callable[[str], float]) -> str:
    found = sentences(passage)
    said = [Counter(words(s)) for s in found]
    usual = np.mean([sum(c.values()) for c in said]) or 1.0
    wanted = set(words(question))
    scores = []
    for counts in said:
        long = K * (1 - B + B * sum(counts.values()) / usual)
        scores.append(sum(told(w) * counts[w] * (K + 1) / (counts[w] + long) for w in wanted if counts[w]))
    return found[int(np.argmax(scores))]
