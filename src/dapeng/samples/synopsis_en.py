"""Programs described at length and in one line."""

from __future__ import annotations

import gzip
import json
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part, side_of


@samples
class SynopsisEn(Sample):
    """61,396 descriptions of Debian packages with their synopsis; families of packages (by the name's first word) stay together."""

    type: Literal["synopsis_en"] = "synopsis_en"
    licence: ClassVar = "free, by package"
    source: ClassVar = "Debian, Translation-en of the main archive; deb.debian.org"
    rows: ClassVar = 61_396
    size: ClassVar = 6_572_018
    columns: ClassVar = ("name", "description", "synopsis")
    target: ClassVar = "synopsis"
    origins: ClassVar = (
        Origin("file", "synopsis_en.jsonl.gz", "0ce7e34b3f63ee07b39e7eb0acb933f1485b1ba3be7c6963b320dcdbcb5e58e0"),
    )

    def load(self) -> dict[str, Source]:
        with gzip.open(self.find(), "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file if line.strip()]
        parts: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
        for row in rows:
            parts[side_of(_family(row["name"]))].append(row)
        return {
            name: part(self.type, name, {c: pa.array([r[c] for r in some]) for c in self.columns})
            for name, some in parts.items()
        }


def _family(name: str) -> str:
    """What a package's relatives are called, too."""
    return name.removeprefix("lib").replace(".", "-").partition("-")[0].rstrip("0123456789")
