"""The tokeniser that public weights were trained with, out of their tokenizer.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dapeng.tokens.base import Codec, flat, opened, whole

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
        found = self.library.encode_batch_fast([whole(t) for t in texts], add_special_tokens=False)
        return flat([e.ids for e in found])

    def decode(self, ids: Sequence[int]) -> str:
        return self.library.decode([int(i) for i in ids if i not in self._special], skip_special_tokens=False)

    def published(self) -> dict[str, Any]:
        return {**json.loads(self.state["tokenizer"]), "truncation": None, "padding": None}

    @property
    def unwritten(self) -> tuple[int, ...]:
        """None: public weights write as they were published."""
        return ()

    @property
    def names(self) -> dict[str, int]:
        return {self.library.id_to_token(i) or PLACEHOLDER.format(i): i for i in (self.pad, self.bos, self.eos)}
