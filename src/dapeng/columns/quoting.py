"""The letters behind a stretch of tokens: what is pointed at in a text comes back as it stands there."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dapeng.columns.tokenisers import Tokeniser, clean
from dapeng.tokens.base import whole

NOTHING = -1
"""Behind the last letter of a text, where texts lie side by side as numbers."""


def stretch(text: str, first: int, length: int, tokeniser: Tokeniser, lowercase: bool, form: str) -> str:
    """The letters of a text from its token `first` on, over `length` tokens; "" where there are none.

    Where it can't be told which letters became which (a Unicode form that depends on neighbours), they are as the tokeniser saw them.
    """
    seen = clean(text, lowercase, form)
    spans = [s for s in tokeniser.spans(seen)[first : first + length] if s[1] > s[0]]
    if not spans:
        return ""
    begin, end = spans[0][0], spans[-1][1]
    letters, origins = aligned(whole(text), lowercase, form)
    return whole(text)[origins[begin][0] : origins[end - 1][1]] if letters == seen else seen[begin:end]


def aligned(text: str, lowercase: bool, form: str) -> tuple[str, list[tuple[int, int]]]:
    """A text cleaned letter by letter, and of each letter the part of the text that it came from: first, and behind the last."""
    letters: list[str] = []
    origins: list[tuple[int, int]] = []
    for begin, end in _groups(text):
        part = text[begin:end] if form == "none" else unicodedata.normalize(form, text[begin:end])  # type: ignore[arg-type]
        for letter in part.lower() if lowercase else part:
            blank = letter.isspace()
            if not (blank and (not letters or letters[-1] == " ")):  # runs of blanks are one, and none stands first
                letters.append(" " if blank else letter)
                origins.append((begin, end))
    if letters and letters[-1] == " ":
        letters.pop()
        origins.pop()
    return "".join(letters), origins


def _groups(text: str) -> Iterator[tuple[int, int]]:
    """Each letter with the marks that combine with it."""
    begin = 0
    for at in range(1, len(text)):
        if not unicodedata.combining(text[at]):
            yield begin, at
            begin = at
    if text:
        yield begin, len(text)


def as_numbers(texts: Sequence[str], longest: int) -> np.ndarray:
    """(N, longest) int32: code points of texts, cut there."""
    out = np.full((len(texts), longest), NOTHING, np.int32)
    for row, text in enumerate(texts):
        points = [ord(c) for c in text[:longest]]
        out[row, : len(points)] = points
    return out


def as_texts(numbers: Any) -> np.ndarray:
    """(N,) the texts again."""
    out = np.empty(len(numbers), object)
    out[:] = ["".join(map(chr, row[row >= 0].tolist())) for row in np.asarray(numbers).astype(np.int64)]
    return out
