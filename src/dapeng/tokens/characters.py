"""Characters, and bytes: vocabularies that need next to no fitting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dapeng.tokens.base import SPECIAL, UNK, Codec, Placed, commonest, flat, whole
from dapeng.tokens.published import byte_letters, sequence, split, tokenizer_json

UNKNOWN = SPECIAL[UNK]


class Characters(Codec):
    """One id a character; those that were not seen, or are too many, are one unknown, written as U+FFFD."""

    kind = "characters"
    unknown = UNK

    def __init__(self, state: dict[str, Any]):
        super().__init__(state)
        self.marks = {m: len(SPECIAL) + i for i, m in enumerate(state["marks"])}
        first = len(SPECIAL) + len(self.marks)
        self.vocabulary = ["", "", "", "\ufffd", *[""] * len(self.marks), *state["characters"]]
        self.ids = {c: first + i for i, c in enumerate(state["characters"])}
        self.size = len(self.vocabulary)

    @staticmethod
    def units(text: str) -> Iterable[str]:
        return text

    @classmethod
    def wanted(cls, counts: Counter[str], letters: int) -> int:
        return len(counts) + len(SPECIAL)

    @classmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> Characters:
        kept = commonest(counts, max(size - len(SPECIAL) - len(marks), 1))
        return cls({"kind": cls.kind, "characters": sorted(kept), "marks": list(marks)})

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        get = self.ids.get
        return flat([[get(c, UNK) for c in whole(t)] for t in texts])

    def placed(self, text: str, first: bool = True) -> Placed:
        places = list(range(len(text) + 1))
        return Placed(self.encode([text])[0].tolist(), places[:-1], places[1:])

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.vocabulary[i] for i in ids)

    def token_bytes(self) -> list[bytes]:
        return [b"" if i == UNK else c.encode() for i, c in enumerate(self.vocabulary)]

    def published(self) -> dict[str, Any]:
        model = {"type": "WordLevel", "vocab": {**self.names, **self.ids}, "unk_token": UNKNOWN}
        replaced = {"type": "Replace", "pattern": {"String": UNKNOWN}, "content": self.vocabulary[UNK]}
        join = sequence([replaced, {"type": "Fuse"}], "decoders")
        # the unknown token is none of the special ones, or it would be left out of what is read aloud
        known = {n: i for n, i in self.names.items() if n != UNKNOWN}
        return tokenizer_json(model, known, split(r"[\s\S]"), join)


class Bytes(Codec):
    """One id a byte of UTF-8: nothing is unknown, nothing is learnt."""

    kind = "bytes"

    def __init__(self, state: dict[str, Any]):
        super().__init__(state)
        self.marks = {m: len(SPECIAL) + i for i, m in enumerate(state["marks"])}
        self.first = len(SPECIAL) + len(self.marks)
        self.size = self.first + 256

    @staticmethod
    def units(text: str) -> Iterable[str]:
        return ()

    @classmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> Bytes:
        return cls({"kind": cls.kind, "marks": list(marks)})

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        raw = [whole(t).encode() for t in texts]
        lengths = np.fromiter(map(len, raw), np.int64, len(raw))
        return np.frombuffer(b"".join(raw), np.uint8).astype(np.int32) + self.first, lengths

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i - self.first for i in ids if i >= self.first).decode("utf-8", "replace")

    def token_bytes(self) -> list[bytes]:
        return [b""] * self.first + [bytes([b]) for b in range(256)]

    def published(self) -> dict[str, Any]:
        letters = {letter: self.first + byte for byte, letter in enumerate(byte_letters())}
        model = {"type": "BPE", "vocab": {**self.names, **letters}, "merges": []}
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        return tokenizer_json(model, self.names, level, level)
