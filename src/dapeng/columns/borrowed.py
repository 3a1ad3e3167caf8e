"""The tokeniser of a text that is read, as that of one that is written: what is copied out of an input has that input's ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dapeng.columns.quoting import stretch
from dapeng.columns.tokenisers import KINDS, LOST, clean
from dapeng.tokens.base import Codec


class Borrowed(Codec):
    """An input's tokeniser. What reading loses is lost: capitals and Unicode forms, where the input's settings say so, and blanks."""

    kind = "input"

    def __init__(self, state: dict[str, Any]):
        """state: of the input, as fitted ("tokeniser"), and how texts are cleaned before ("lowercase", "form")."""
        super().__init__(state)
        self.tokeniser = KINDS[state["tokeniser"]["kind"]](state["tokeniser"])
        self.lowercase, self.form = bool(state["lowercase"]), str(state["form"])
        self.pad, self.bos, self.eos, self.unknown = self.tokeniser.framing()
        self.size = self.tokeniser.size

    @property
    def alone(self) -> bool:
        """Whether a stretch of a text has the same ids as by itself."""
        return self.tokeniser.alone

    @property
    def unit(self) -> str:
        return self.tokeniser.kind

    @property
    def names(self) -> dict[str, int]:
        found = {"<pad>": self.pad, "<bos>": self.bos, "<eos>": self.eos}
        return found if self.unknown is None else {**found, "<unk>": self.unknown}

    @property
    def unwritten(self) -> tuple[int, ...]:
        return tuple(i for i in (self.pad, self.bos, self.unknown) if i is not None)

    @staticmethod
    def units(text: str) -> Iterable[str]:
        return ()

    @classmethod
    def fitted(cls, counts: Counter[str], size: int, marks: Sequence[str] = ()) -> Codec:
        raise NotImplementedError("it is fitted as an input")

    def altered(self, texts: Sequence[str]) -> float:
        """The share of these texts that don't come back as they stand, but for runs of blanks and what is unknown."""
        flat, lengths = self.encode(texts)
        parts = np.split(flat, np.cumsum(lengths)[:-1]) if len(texts) else []
        return sum(self._changed(t, ids.tolist()) for t, ids in zip(texts, parts)) / max(len(texts), 1)

    def _changed(self, text: str, ids: list[int]) -> bool:
        plain, back = clean(text, False, "NFC"), self.decode(ids)
        return clean(text, self.lowercase, self.form) != plain or (LOST not in back and back != plain)

    def begin(self, text: str, tokens: int) -> str:
        """A text as it stands, up to so many tokens."""
        if self.alone:
            return stretch(text, 0, tokens, self.tokeniser, self.lowercase, self.form)
        ids, _ = self.encode([text])
        return text if len(ids) <= tokens else self.decode(ids[:tokens].tolist())

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return self.tokeniser.plain([clean(t, self.lowercase, self.form) for t in texts])

    def decode(self, ids: Sequence[int]) -> str:
        special = {self.pad, self.bos, self.eos}
        return self.tokeniser.text([i for i in ids if i not in special])
