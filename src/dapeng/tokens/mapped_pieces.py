"""Pieces of `sentencepiece` under other ids: how Marian's translators read (source.spm, target.spm, vocab.json).

Junczys-Dowmunt et al.: Marian, 2018 (https://arxiv.org/abs/1804.00344). Two languages may have one list of ids, and a file each.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from dapeng.core.errors import need_extra
from dapeng.tokens.base import Codec, flat, whole

LOST = "\ufffd"
"""What is unknown is written as."""
CODE = re.compile(">>.*?<<")
NAMELESS = "<token {}>"
"""Of a row of the table that the list of ids doesn't name."""


class MappedPieces(Codec):
    """A piece that the list doesn't name is unknown. A text begins behind its padding, and ends with its end.

    state: model, the file in base64; names, pieces by id; size, rows of the table of tokens, which may be more; pad, eos, unknown,
    ids; longest, the most tokens that the network has positions for; shared, whether both languages have one table.
    """

    kind = "mapped"

    def __init__(self, state: dict[str, Any]):
        super().__init__(state)
        self.library = _library().SentencePieceProcessor(model_proto=base64.b64decode(state["model"]))
        self.size: int = state["size"]
        self.pad, self.eos = state["pad"], state["eos"]
        self._unk: int = state["unknown"]
        self.unknown = self._unk
        self.bos = self.pad
        self.pieces_by_id: list[str] = state["names"]
        self.ids = {name: i for i, name in enumerate(self.pieces_by_id)}

    @property
    def unit(self) -> str:
        return "pieces"

    @staticmethod
    def units(text: str) -> Iterable[str]:
        return ()

    @classmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> MappedPieces:
        raise ValueError("the tokeniser of public weights is not fitted: it comes with them")

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return flat([self._ids(whole(t)) for t in texts])

    def _ids(self, text: str) -> list[int]:
        """What begins a text and says which language is wanted (>>fr<<) is a token, where the list has it."""
        found = CODE.match(text)
        code = [found.group()] if found and found.group() in self.ids else []
        pieces = self.library.encode(text[len(code[0]) :] if code else text, out_type=str)
        return [self.ids.get(p, self._unk) for p in [*code, *pieces]]

    def decode(self, ids: Sequence[int]) -> str:
        special = {self.pad, self.eos}
        return self.library.decode_pieces(
            [LOST if i == self.unknown else self._named(i) for i in ids if i not in special]
        )

    def _named(self, i: int) -> str:
        return self.pieces_by_id[i] if i < len(self.pieces_by_id) else ""

    @cached_property
    def names(self) -> dict[str, int]:  # type: ignore[override]
        return {self._named(i) or NAMELESS.format(i): i for i in (self.pad, self.eos, self._unk)}

    @property
    def unwritten(self) -> tuple[int, ...]:
        return (self.pad,)


def _library() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise need_extra("text", "sentencepiece") from None
    return sentencepiece
