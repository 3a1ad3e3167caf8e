"""The tokeniser that public weights were trained with, out of their tokenizer.json."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from dapeng.tokens.base import Codec, Placed, flat, opened, whole
from dapeng.tokens.published import flattened, spelt_bytes

BLANK = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
PLACEHOLDER = "<token {}>"
"""Name of a special token that the file doesn't name."""


class File(Codec):
    """As the file says, and special tokens in a text are text. What comes back is what the file's own decoder makes of it.

    state: tokenizer, the text of the file; size, rows of the table of tokens, which may be more; bos, eos, pad, ids;
    longest, the most tokens that the network has positions for, None without a limit.
    """

    kind = "file"

    def __init__(self, state: dict[str, Any]):
        super().__init__(state)
        self.library, self.marks = opened(state)
        self.size: int = state["size"]
        self.bos, self.eos, self.pad = state["bos"], state["eos"], state["pad"]
        added = self.library.get_added_tokens_decoder()
        self._special = {self.bos, self.eos, self.pad} | {i for i, token in added.items() if token.special}

    @staticmethod
    def units(text: str) -> Iterable[str]:
        return ()

    @classmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> File:
        raise ValueError("the tokeniser of public weights is not fitted: it comes with them")

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return flat(read_as_text(self.library, [whole(t) for t in texts], False))

    @cached_property
    def specials(self) -> dict[str, int]:  # type: ignore[override]
        added = self.library.get_added_tokens_decoder()
        return {token.content: i for i, token in added.items() if token.special}

    @cached_property
    def _reading(self) -> Any:
        """The library's tokeniser where special tokens in a text are special."""
        library, _ = opened(self.state)
        library.encode_special_tokens = False
        return library

    def placed(self, text: str, first: bool = True) -> Placed:
        return _placed(self.library, text, first)

    def with_special(self, text: str, first: bool = True) -> Placed:
        return _placed(self._reading, text, first)

    def decode(self, ids: Sequence[int]) -> str:
        return self.library.decode([int(i) for i in ids if i not in self._special], skip_special_tokens=False)

    def token_bytes(self) -> list[bytes]:
        steps = flattened(json.loads(self.state["tokenizer"]).get("decoder"), "decoders")
        kinds = {s["type"] for s in steps if s != BLANK}
        if kinds == {"ByteLevel"}:
            said = spelt_bytes
        elif BLANK in steps and kinds <= {"ByteFallback", "Fuse"}:
            said = partial(_piece_bytes, fall_back="ByteFallback" in kinds)
        else:  # such as one that drops the first blank of a text, or joins words
            return super().token_bytes()
        added = {i: t.content.encode() for i, t in self.library.get_added_tokens_decoder().items()}
        names = [self.library.id_to_token(i) for i in range(self.size)]
        return [
            b"" if n is None or i in self._special else added[i] if i in added else said(n) for i, n in enumerate(names)
        ]

    def published(self) -> dict[str, Any]:
        return {**json.loads(self.state["tokenizer"]), "truncation": None, "padding": None}

    @property
    def unwritten(self) -> tuple[int, ...]:
        """None: public weights write as they were published. Of a file that a spec names, padding and begin."""
        return tuple({self.pad, self.bos} - {self.eos}) if "added" in self.state else ()

    @property
    def names(self) -> dict[str, int]:
        return {self.library.id_to_token(i) or PLACEHOLDER.format(i): i for i in (self.pad, self.bos, self.eos)}


def read_as_text(library: Any, texts: Sequence[str], around: bool) -> list[list[int]]:
    """Ids of each text; `around`: with what the file puts around one.

    A vocabulary may hold special tokens as pieces too, that a text's letters then lead to: those are broken by a blank.
    """
    found = library.encode_batch_fast(list(texts), add_special_tokens=around)
    added = {i: t.content for i, t in library.get_added_tokens_decoder().items() if t.special and len(t.content) > 1}
    for row, text in enumerate(texts):
        names = [n for n in added.values() if n in text]
        if names and any(i in added and not m for i, m in zip(found[row].ids, found[row].special_tokens_mask)):
            for name in names:
                text = text.replace(name, f"{name[0]} {name[1:]}")
            found[row] = library.encode(text, add_special_tokens=around)
    return [e.ids for e in found]


def _placed(library: Any, text: str, first: bool) -> Placed:
    """What is not first is read behind a line's end, or some would put a blank before it; as transformers does."""
    text = whole(text)
    found = library.encode(text if first else "\n" + text, add_special_tokens=False)
    skipped = 0
    if not first:
        line = library.encode("\n", add_special_tokens=False).ids
        skipped = len(line) if found.ids[: len(line)] == line else 0
        if not skipped:
            return _placed(library, text, True)
    places = [(max(b - (not first), 0), e - (not first)) for b, e in found.offsets[skipped:]]
    return Placed(found.ids[skipped:], [b for b, _ in places], [e for _, e in places])


def _piece_bytes(token: str, fall_back: bool) -> bytes:
    if fall_back and BYTE.fullmatch(token):
        return bytes([int(token[3:5], 16)])
    return token.replace("\u2581", " ").encode()
