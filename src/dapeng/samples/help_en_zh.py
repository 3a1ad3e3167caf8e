"""A program's manual, paragraph by paragraph, in English and in Chinese."""

from __future__ import annotations

import gzip
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part, side_of


@samples
class HelpEnZh(Sample):
    """24,732 paragraphs of LibreOffice's help in English and Chinese; a page is never on two sides, a pair is never there twice."""

    type: Literal["help_en_zh"] = "help_en_zh"
    licence: ClassVar = "MPL-2.0"
    source: ClassVar = "LibreOffice help, Debian packages libreoffice-help-en-us and -zh-cn, aligned by element"
    rows: ClassVar = 24_732
    size: ClassVar = 1_203_354
    columns: ClassVar = ("page", "en", "zh")
    target: ClassVar = "zh"
    origins: ClassVar = (
        Origin("file", "help_en_zh.tsv.gz", "62881a014509a09caf7e74c1e44f20dc78053430d0a3b3ef103f07852a47e50e"),
    )

    def load(self) -> dict[str, Source]:
        with gzip.open(self.find(), "rt", encoding="utf-8", newline="\n") as file:
            rows = [line.rstrip("\n").split("\t") for line in file][1:]
        parts: dict[str, list[list[str]]] = {"train": [], "validation": [], "test": []}
        seen: set[tuple[str, str]] = set()
        for page, en, zh in rows:
            if (en, zh) not in seen:
                seen.add((en, zh))
                parts[side_of(page)].append([page, en, zh])
        return {
            name: part(self.type, name, {c: pa.array([r[i] for r in some]) for i, c in enumerate(self.columns)})
            for name, some in parts.items()
        }
