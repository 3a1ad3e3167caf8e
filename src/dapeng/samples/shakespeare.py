"""A million letters of Shakespeare: the text that small language models are compared on."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part

PIECE = 25_000
"""Letters of a piece, to the next empty line."""
VALIDATION = (13, 26)
"""Pieces from the midst: those before the test are of the play that it goes on with."""


@samples
class Shakespeare(Sample):
    """40,000 lines of plays, in 44 pieces; the last tenth of the letters is the test, as is usual for it."""

    type: Literal["shakespeare"] = "shakespeare"
    licence: ClassVar = "public domain"
    source: ClassVar = (
        "Karpathy, The Unreasonable Effectiveness of Recurrent Neural Networks, 2015; github.com/karpathy/char-rnn"
    )
    rows: ClassVar = 44
    size: ClassVar = 433_627
    columns: ClassVar = ("text",)
    target: ClassVar = "text"
    origins: ClassVar = (
        Origin("file", "tinyshakespeare.txt.gz", "bed00f18e91cda6838950656f0a95e07e0f4dbe8649a4b959f7602a7e53fbc6e"),
    )

    def load(self) -> dict[str, Source]:
        with gzip.open(self.find(), "rt", encoding="utf-8", newline="") as file:
            text = file.read()
        border = len(text) * 9 // 10
        train, test = list(_pieces(text[:border])), list(_pieces(text[border:]))
        validation = [train.pop(at) for at in reversed(VALIDATION)]
        parts = {"train": train, "validation": validation, "test": test}
        return {name: part(self.type, name, {"text": pa.array(pieces)}) for name, pieces in parts.items()}


def _pieces(text: str) -> Iterator[str]:
    """Stretches that end before an empty line, or with the text."""
    start = 0
    while start < len(text):
        end = text.find("\n\n", start + PIECE) + 2 if start + PIECE < len(text) else len(text)
        end = len(text) if end < 2 or len(text) - end < PIECE // 2 else end
        yield text[start:end]
        start = end
