"""Errors of transcripts: words, or letters, that were put in, left out, or exchanged, as a share of the true ones.

Levenshtein, 1966; as jiwer (https://github.com/jitsi/jiwer) counts them: case and signs count, and words stand between blanks. Each Han
character is a word.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, View, ratio
from dapeng.metrics.texts import TextView
from dapeng.tokens.plain_words import words

PARTS = ("substitutions", "deletions", "insertions", "true")


def edits(true: list[str] | str, said: list[str] | str) -> tuple[int, int, int]:
    """Substitutions, deletions and insertions that make `said` of `true`, as few as there can be, in time of their product."""
    first = 0
    while first < min(len(true), len(said)) and true[first] == said[first]:
        first += 1
    last = 0
    while last < min(len(true), len(said)) - first and true[-1 - last] == said[-1 - last]:
        last += 1
    true, said = true[first : len(true) - last], said[first : len(said) - last]
    table = _table(true, said)
    exchanged = left_out = put_in = 0
    t, s = len(true), len(said)
    while t and s:  # of several shortest ways the one that jiwer goes
        if table[t, s] - table[t - 1, s] == 1:
            left_out, t = left_out + 1, t - 1
        elif table[t, s - 1] - table[t - 1, s - 1] == -1:
            put_in, s = put_in + 1, s - 1
        else:
            exchanged += true[t - 1] != said[s - 1]
            t, s = t - 1, s - 1
    return exchanged, left_out + t, put_in + s


def _table(true: list[str] | str, said: list[str] | str) -> np.ndarray:
    """(T + 1, S + 1) fewest edits between the beginnings of both."""
    numbers = {piece: i for i, piece in enumerate({*true, *said})}
    row = np.array([numbers[p] for p in said], np.int64)
    out = np.empty((len(true) + 1, len(said) + 1), np.int32)
    at = np.arange(len(said) + 1, dtype=np.int32)
    out[0] = at
    for number, piece in enumerate(true, 1):
        fewest = np.empty(len(said) + 1, np.int32)
        fewest[0] = number
        fewest[1:] = np.minimum(out[number - 1, 1:] + 1, out[number - 1, :-1] + (row != numbers[piece]))
        out[number] = np.minimum.accumulate(fewest - at) + at  # an insertion takes one more than the place before it
    return out


def counted(view: TextView, unit: Literal["words", "letters"]) -> np.ndarray:
    """(N, 4) of each text: substitutions, deletions, insertions, and how many true ones there are."""
    if unit not in view.counted:
        rows = [(_pieces(t, unit, view.han), _pieces(s, unit, view.han)) for s, t in zip(*view.pairs)]
        view.counted[unit] = np.array([[*edits(t, s), len(t)] for t, s in rows], np.float64).reshape(-1, 4)
    return view.counted[unit]


def _pieces(text: str, unit: str, han: bool) -> list[str] | str:
    if unit == "letters":
        return text.strip()
    return words(text) if han else text.split()


class _Errors(Metric):
    fits: ClassVar[tuple[str, ...]] = ("text",)
    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[Literal["words", "letters"]] = "words"
    parts: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def applies(self, view: View) -> bool:
        return isinstance(view, TextView) and view.wrote and view.heard

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, TextView)
        sums = drawn.counts @ counted(drawn.view, self.unit)
        return ratio(sums[:, list(self.parts)].sum(1), sums[:, 3])

    def trials(self, view: View) -> int:
        """The true words, of letters too: those of one word are right or wrong together."""
        assert isinstance(view, TextView)
        return int(counted(view, "words")[:, 3].sum())

    def each(self, view: TextView) -> np.ndarray:
        """(N,) of each text by itself."""
        found = counted(view, self.unit)
        return found[:, :3].sum(1) / np.maximum(found[:, 3], 1)


@metrics
class WordErrors(_Errors):
    """Word error rate: words that were exchanged, left out or put in, for each true one."""

    type: Literal["wer"] = "wer"
    title: ClassVar[str] = "Word error rate"


@metrics
class LetterErrors(_Errors):
    """Character error rate: letters that were exchanged, left out or put in, for each true one."""

    type: Literal["cer"] = "cer"
    title: ClassVar[str] = "Character error rate"
    unit: ClassVar[Literal["words", "letters"]] = "letters"


@metrics
class WordSubstitutions(_Errors):
    """Words that were exchanged for others, for each true one."""

    type: Literal["word_substitutions"] = "word_substitutions"
    title: ClassVar[str] = "Words exchanged"
    parts: ClassVar[tuple[int, ...]] = (0,)


@metrics
class WordDeletions(_Errors):
    """Words that were left out, for each true one."""

    type: Literal["word_deletions"] = "word_deletions"
    title: ClassVar[str] = "Words left out"
    parts: ClassVar[tuple[int, ...]] = (1,)


@metrics
class WordInsertions(_Errors):
    """Words that were put in, for each true one."""

    type: Literal["word_insertions"] = "word_insertions"
    title: ClassVar[str] = "Words put in"
    parts: ClassVar[tuple[int, ...]] = (2,)
