"""Whole words: a vocabulary by frequency, as every course on language models begins with.

A text is read with a blank before it, a blank belongs to the word behind it, punctuation and each Han character stand alone, and
what is read is joined as it is, without the first blank: all but unknown words comes back letter by letter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dapeng.tokens.base import SPECIAL, UNK, Codec, commonest, flat, whole
from dapeng.tokens.learnt import HAN
from dapeng.tokens.published import DIGIT, LETTER, SPACE, sequence, split, tokenizer_json

WORD = re.compile(rf"[{HAN}]| ?[^\W{HAN}]+(?:['’-][^\W{HAN}]+)*| ?[^\w\s]|\s")
PUBLISHED = (
    rf"[{HAN}]| ?[{LETTER}{DIGIT}_&&[^{HAN}]]+(?:['’-][{LETTER}{DIGIT}_&&[^{HAN}]]+)*"
    rf"| ?[^{LETTER}{DIGIT}_{SPACE}]|[{SPACE}]"
)
FEWEST = 2
"""Times that a word must be seen, where nothing is said of the vocabulary's size."""
UNREAD = " \ufffd"
"""What an unknown word is written as."""


class Words(Codec):
    """One id a word; what was not seen, or too rarely, is one unknown. state: words, lowercase, marks."""

    kind = "words"
    unknown = UNK

    def __init__(self, state: dict[str, Any]):
        super().__init__(state)
        self.marks = {m: len(SPECIAL) + i for i, m in enumerate(state["marks"])}
        first = len(SPECIAL) + len(self.marks)
        self.vocabulary = ["", "", "", UNREAD, *[""] * len(self.marks), *state["words"]]
        self.ids = {w: first + i for i, w in enumerate(state["words"])}
        self.size = len(self.vocabulary)
        self.lowercase: bool = state.get("lowercase", False)

    @staticmethod
    def units(text: str) -> Iterable[str]:
        return WORD.findall(" " + text if text else "")

    @classmethod
    def wanted(cls, counts: Counter[str], letters: int) -> int:
        return len(SPECIAL) + sum(n >= FEWEST for n in counts.values())

    @classmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> Words:
        kept = commonest(counts, max(size - len(SPECIAL) - len(marks), 1))
        ranked = sorted(kept, key=lambda w: (-kept[w], w))
        return cls({"kind": cls.kind, "words": ranked, "marks": list(marks), "lowercase": False})

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        get = self.ids.get
        cleaned = (whole(t).lower() if self.lowercase else whole(t) for t in texts)
        return flat([[get(w, UNK) for w in self.units(t)] for t in cleaned])

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.vocabulary[i] for i in ids).removeprefix(" ")

    def published(self) -> dict[str, Any]:
        model = {"type": "WordLevel", "vocab": {**self.names, **self.ids}, "unk_token": SPECIAL[UNK]}
        replaced = {"type": "Replace", "pattern": {"String": SPECIAL[UNK]}, "content": UNREAD}
        join = sequence(
            [replaced, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}], "decoders"
        )
        lower = [{"type": "Lowercase"}] if self.lowercase else []
        before = sequence([*lower, {"type": "Prepend", "prepend": " "}], "normalizers")
        known = {n: i for n, i in self.names.items() if n != SPECIAL[UNK]}
        return tokenizer_json(model, known, split(PUBLISHED), join, before)
