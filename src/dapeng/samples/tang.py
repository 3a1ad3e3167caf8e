"""The poems of the Tang."""

from __future__ import annotations

import json
import re
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part, side_of
from dapeng.samples.find import members

FOLDER = "dist/quantangshi/poet.tang."
HAN = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
LINES = {n: f"{HAN}{{{n}}}[，、；：？！]{HAN}{{{n}}}[。？！；]" for n in (5, 7)}
"""A line of two halves, by the characters of each."""
REGULATED = {n: re.compile(f"{line}(?:\n{line})+") for n, line in LINES.items()}


def metre(text: str) -> int:
    """5 or 7 characters a half-line where a whole poem of two lines or more keeps to it, with nothing else in it; else 0."""
    return next((n for n, form in REGULATED.items() if form.fullmatch(text)), 0)


@samples
class Tang(Sample):
    """56,604 poems of the Tang (Quan Tangshi), in traditional characters, a line for each couplet; no poem is there twice."""

    type: Literal["tang"] = "tang"
    licence: ClassVar = "MIT"
    source: ClassVar = "github.com/chinese-poetry/chinese-poetry"
    rows: ClassVar = 56_604
    size: ClassVar = 85_464_664
    columns: ClassVar = ("title", "author", "text")
    target: ClassVar = "text"
    origins: ClassVar = (
        Origin("npm", "chinese-poetry==2.0.1", "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86"),
    )

    def load(self) -> dict[str, Source]:
        found = {path: raw for path, raw in members(self.find(), ".json") if FOLDER in path}
        parts: dict[str, list[tuple[str, str, str]]] = {"train": [], "validation": [], "test": []}
        seen: set[str] = set()
        for path in sorted(found, key=lambda p: int(p.split(".")[-2])):
            for poem in json.loads(found[path]):
                letters = "".join(c for c in "".join(poem["paragraphs"]) if "\u4e00" <= c <= "\u9fff")
                if letters and letters not in seen:
                    seen.add(letters)
                    parts[side_of(letters)].append((poem["title"], poem["author"], "\n".join(poem["paragraphs"])))
        return {
            name: part(self.type, name, {c: pa.array([r[i] for r in some]) for i, c in enumerate(self.columns)})
            for name, some in parts.items()
        }


@samples
class TangRegulated(Tang):
    """The 46,001 poems of the tang that keep one metre: all half-lines of five or of seven characters, no note or gap of the editors."""

    type: Literal["tang_regulated"] = "tang_regulated"  # type: ignore[assignment]
    rows: ClassVar = 46_001

    def load(self) -> dict[str, Source]:
        parts = {}
        for name, source in super().load().items():
            table = source.read()
            kept = pa.array([metre(text) > 0 for text in table.column("text").to_pylist()])
            parts[name] = part(self.type, name, {c: table.filter(kept).column(c) for c in self.columns})
        return parts
