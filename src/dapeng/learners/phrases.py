"""A phrase lookup: what training texts say word by word, put in the place of what is read.

Phrases are short training texts as a whole; words that stand in none get their likeliest counterpart. Brown et al.: The
Mathematics of Statistical Machine Translation, 1993 (their first model, by expectation and maximisation).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs
from dapeng.learners.telling import TellingOptions
from dapeng.tokens.plain_words import HAN, words

UNSPACED = re.compile(f"[{HAN}]")
ROUNDS, MOST_WORDS, LONGEST, MOST_PAIRS = 5, 40, 6, 8_000_000


@learners
class Phrases(TellingOptions):
    """Answers with the counterparts of the phrases and words that a single text input is made of, in its order.

    Paper: Brown et al., 1993, https://aclanthology.org/J93-2003/ (model 1)
    Example: `evaluate: {baselines: [phrases]}`
    """

    type: Literal["phrases"] = "phrases"

    def reads(self, inputs: Inputs, target: object) -> bool:
        return len(inputs.texts) == 1

    def learn(self, inputs: Inputs, answers: Sequence[str]) -> Callable[[Inputs], list[str]]:
        (texts,) = inputs.texts.values()
        pairs = [(words(a), words(b)) for a, b in zip(texts, answers)]
        phrases = {" ".join(a): b for a, b in zip((p[0] for p in pairs), answers) if len(a) <= LONGEST}
        counterparts = likeliest(pairs)

        def answer(rows: Inputs) -> list[str]:
            (asked,) = rows.texts.values()
            return [_looked_up(words(t), phrases, counterparts) for t in asked]

        return answer


def _looked_up(read: list[str], phrases: dict[str, str], counterparts: dict[str, str]) -> str:
    """Longest phrases first, from the left."""
    found, at = [], 0
    while at < len(read):
        for size in range(min(LONGEST, len(read) - at), 0, -1):
            phrase = phrases.get(" ".join(read[at : at + size]))
            if phrase is not None:
                found.append(phrase)
                at += size
                break
        else:
            found.append(counterparts.get(read[at], ""))
            at += 1
    said = [f for f in found if f]
    unspaced = sum(UNSPACED.match(f) is not None for f in said) > len(said) / 2
    return ("" if unspaced else " ").join(said)


def likeliest(pairs: Sequence[tuple[list[str], list[str]]]) -> dict[str, str]:
    """Of each word that is read, the word that is written for it. pairs: words read, and words written."""
    pairs = [(a[:MOST_WORDS], b[:MOST_WORDS]) for a, b in pairs if a and b]
    read, written = ({w: i for i, w in enumerate(dict.fromkeys(w for p in pairs for w in p[side]))} for side in (0, 1))
    left, right, place = _beside(pairs, read, written)
    if not len(left):
        return {}
    key, link = np.unique(left.astype(np.int64) * len(written) + right, return_inverse=True)
    of = key // len(written)
    share = np.full(len(key), 1.0)
    for _ in range(ROUNDS):  # each written word is shared out among the words read beside it
        weight = share[link]
        weight /= np.bincount(place, weight)[place]
        share = np.bincount(link, weight, len(key))
        share /= np.bincount(of, share)[of]
    order = np.lexsort((-share, of))
    first = order[np.unique(of[order], return_index=True)[1]]
    names, said = list(read), list(written)
    return {names[of[i]]: said[key[i] % len(written)] for i in first.tolist()}


def _beside(
    pairs: Sequence[tuple[list[str], list[str]]], read: dict[str, int], written: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every word read beside every word written of the same row, and a number for each place of a written word."""
    left: list[np.ndarray] = []
    right: list[np.ndarray] = []
    place: list[np.ndarray] = []
    count, places = 0, 0
    for a, b in pairs:
        ids, others = np.array([read[w] for w in a]), np.array([written[w] for w in b])
        left.append(np.tile(ids, len(others)))
        right.append(np.repeat(others, len(ids)))
        place.append(np.repeat(np.arange(places, places + len(others)), len(ids)))
        count, places = count + len(left[-1]), places + len(others)
        if count > MOST_PAIRS:
            break
    empty = [np.empty(0, np.int64)]
    return np.concatenate(left or empty), np.concatenate(right or empty), np.concatenate(place or empty)
