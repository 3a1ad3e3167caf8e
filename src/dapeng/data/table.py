"""Rows from anywhere, as blocks of Arrow columns: what every source gives, and all that the rest of Dapeng sees of files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from dapeng.core.errors import DataError, Problem

Cells: TypeAlias = pa.Array | pa.ChunkedArray

BLOCK_BYTES = 32 << 20
"""Bytes of text in a block from which on it is cut, however few its rows."""
PARTS = ("train", "validation", "test")
"""Names of the parts of a data set; their positions are the codes of a split (0, 1, 2)."""
PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What people call them, in folders, files and lists, in small letters."""


@dataclass(frozen=True)
class Note:
    """Something that was repaired, left out or is worth knowing, said once and counted in the report.

    kind: "repair", "quarantine", "warning" or "info".
    """

    kind: str
    where: str
    what: str
    count: int = 1


@dataclass(frozen=True)
class Block:
    """Consecutive rows. start: position of the first row in the source. columns: equal in length, in file order."""

    start: int
    columns: pa.Table

    def __len__(self) -> int:
        return self.columns.num_rows


class Source(ABC):
    """Rows of one address. Reading is repeatable: every call of `blocks` gives the same rows in the same order.

    name: what to call it in errors. names: columns in order. base: where relative paths in cells start.
    notes: grows while reading; what is said twice is kept once. rows: their number where it is known, else None.
    decimal: the decimal mark of numbers in text, as far as looking at the file could tell. size: bytes of the files that
    are read. parsed: reading is parsing text, slow enough that the rows are worth keeping. made_of: a source that has to
    last as long as this one.
    """

    name: str
    names: list[str]
    base: Path | None = None
    rows: int | None = None
    decimal: str = "."
    size: int = 0
    parsed: bool = False
    made_of: Source | None = None

    def __init__(self) -> None:
        self.notes: list[Note] = []

    @abstractmethod
    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        """All rows, or those of some columns, in blocks of at most so many; memory is bounded by one block."""

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of the content (or of what identifies it), for the prepared store and the run folder."""

    def note(self, kind: str, where: str, what: str, count: int = 1) -> None:
        """Say something once, however often the source is read."""
        note = Note(kind, where, what, count)
        if note not in self.notes:
            self.notes.append(note)

    def all_notes(self) -> list[Note]:
        """Its notes, and those of the sources that it is made of."""
        return self.notes

    def count(self) -> int:
        """Number of rows; reads one column through where it isn't known yet."""
        if self.rows is None:
            self.rows = sum(len(block) for block in self.blocks(self.names[:1]))
        return self.rows

    def where(self, row: int) -> str:
        """How to name a row (0-based position) to the user: "reviews.csv:17" (line), "reviews.parquet row 16"."""
        return f"{self.name} row {row}"

    def read(self, names: list[str] | None = None) -> pa.Table:
        """All rows at once, for sources known to be small."""
        parts = [b.columns for b in self.blocks(names)]
        return joined(parts) if parts else pa.table({n: pa.array([], pa.string()) for n in names or self.names})

    def head(self, rows: int, size: int = 256 << 20) -> pa.Table:
        """The first so many rows, or fewer where they would take more than `size` bytes."""
        parts: list[pa.Table] = []
        left = rows
        for block in self.blocks(rows=min(rows, 1024)):
            parts.append(block.columns.slice(0, left))
            left, size = left - len(block), size - parts[-1].nbytes
            if left <= 0 or size <= 0:
                break
        return joined(parts) if parts else self.read()


def some_rows(source: Source, names: list[str], rows: np.ndarray) -> pa.Table:
    """These rows, which rise, of a source; never the whole of it, which may be larger than memory."""
    parts = []
    for block in source.blocks(names):
        a, b = np.searchsorted(rows, [block.start, block.start + len(block)])
        if b - a == len(block):
            parts.append(block.columns)
        elif b > a:
            parts.append(block.columns.take(pa.array(rows[a:b] - block.start)))
    return joined(parts)


def cells_of(source: Source, name: str, rows: np.ndarray) -> pa.ChunkedArray:
    """The cells of a column in these rows, in whatever order."""
    each, back = np.unique(rows, return_inverse=True)
    return some_rows(source, [name], each).column(name).take(pa.array(back))


def joined(tables: list[pa.Table]) -> pa.Table:
    """Tables of the same columns as one; a column whose types can't be reconciled becomes text, as JSON would show it."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        from dapeng.columns.base import strings

        columns = {}
        for name in tables[0].column_names:
            chunks = [t.column(name) for t in tables]
            same = len({str(c.type) for c in chunks}) == 1
            columns[name] = pa.chunked_array(
                [a for c in chunks for a in c.chunks] if same else [strings(c) for c in chunks],
                chunks[0].type if same else pa.string(),
            )
        return pa.table(columns)


def content_hash(source: Source) -> str:
    """SHA-256 of names, types and rows, in one pass: for sources that have no file of their own to hash."""
    import hashlib

    digest = hashlib.sha256("\0".join(source.names).encode())
    for block in source.blocks():
        for column in block.columns.columns:
            digest.update(str(column.type).encode())
            digest.update(_serialised(column))
    return digest.hexdigest()


class Frame(Source):
    """Rows that are already in memory."""

    def __init__(self, columns: pa.Table, name: str = "the data frame", base: Path | None = None):
        super().__init__()
        self.table, self.name, self.base = columns, name, base
        self.names, self.rows = list(columns.column_names), columns.num_rows

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        chosen = self.table if names is None else self.table.select(names)
        for start in range(0, chosen.num_rows, rows):
            yield Block(start, chosen.slice(start, min(rows, chosen.num_rows - start)))  # without columns it isn't cut

    def fingerprint(self) -> str:
        import hashlib

        digest = hashlib.sha256(str(self.table.schema.remove_metadata()).encode())
        for column in self.table.columns:
            # One contiguous copy a column: buffers of a slice or of other chunks would give another hash for equal cells.
            digest.update(_serialised(column))
        return digest.hexdigest()


def _serialised(column: pa.ChunkedArray) -> memoryview:
    whole = pa.table({"": column}).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    return memoryview(sink.getvalue())


class Head(Source):
    """The first rows of another source (`data.max_rows`)."""

    def __init__(self, source: Source, rows: int):
        super().__init__()
        self.source, self.limit = source, rows
        self.name, self.names, self.base, self.decimal = source.name, source.names, source.base, source.decimal
        self.notes = source.notes
        self.size, self.parsed = source.size, source.parsed
        self.rows = None if source.rows is None else min(rows, source.rows)

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        left = self.limit
        for block in self.source.blocks(names, min(rows, self.limit)):
            yield Block(block.start, block.columns.slice(0, left))
            left -= len(block)
            if left <= 0:
                break
        self.rows = self.limit - max(left, 0)

    def fingerprint(self) -> str:
        return f"{self.source.fingerprint()}:{self.limit}"

    def where(self, row: int) -> str:
        return self.source.where(row)


class Concat(Source):
    """Rows of several sources, one after the other: the files of a pattern, or the parts of a data set.

    parts: code (0 train, 1 validation, 2 test) of each source, where they are parts. extra: what to do with columns that
    the first source doesn't have: "reject", or "ignore" with a warning.
    """

    def __init__(self, sources: list[Source], name: str, parts: list[int] | None = None, extra: str = "reject"):
        super().__init__()
        self.sources, self.name, self.parts = sources, name, parts
        first = sources[0]
        self.names, self.decimal = first.names, first.decimal
        self.size, self.parsed = sum(s.size for s in sources), any(s.parsed for s in sources)
        self.base = first.base if len({s.base for s in sources}) == 1 else None
        self._agree(extra)
        if all(s.rows is not None for s in sources):
            self.rows = sum(s.rows or 0 for s in sources)

    def _agree(self, extra: str) -> None:
        problems = []
        for source in self.sources[1:]:
            missing = [n for n in self.names if n not in source.names]
            more = [n for n in source.names if n not in self.names]
            if more and extra == "ignore":
                self.note(
                    "warning",
                    source.name,
                    f"columns that {self.sources[0].name} doesn't have are not read: {', '.join(more)}",
                )
                more = []
            if missing or more:
                what = [f"has no column {', '.join(map(repr, missing))}"] * bool(missing)
                what += [f"has a column more: {', '.join(map(repr, more))}"] * bool(more)
                problems.append(Problem(source.name, f"{'; '.join(what)}, unlike {self.sources[0].name}"))
        if problems:
            raise DataError(problems, title=f"the files of {self.name} differ in their columns")

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        start = 0
        for source in self.sources:
            for block in source.blocks(names or self.names, rows):
                yield Block(start, self._rebased(source, block.columns))
                start += len(block)
        self.rows = start

    def _rebased(self, source: Source, columns: pa.Table) -> pa.Table:
        """Where the sources start from different folders, paths of a folder source are made whole."""
        paths = getattr(source, "paths", None)
        if self.base is not None or source.base is None or paths not in columns.column_names:
            return columns
        whole = [str(source.base / p) for p in columns.column(paths).to_pylist()]
        return columns.set_column(columns.column_names.index(paths), paths, pa.array(whole, pa.string()))

    def given(self) -> np.ndarray | None:
        """(rows,) int8: the part that each row was given in; None if the sources aren't parts."""
        if self.parts is None:
            return None
        return np.repeat(np.array(self.parts, np.int8), [s.count() for s in self.sources])

    def fingerprint(self) -> str:
        import hashlib

        return hashlib.sha256("\n".join(s.fingerprint() for s in self.sources).encode()).hexdigest()

    def where(self, row: int) -> str:
        for source in self.sources:
            if row < source.count():
                return source.where(row)
            row -= source.count()
        return f"{self.name} row {row}"

    def all_notes(self) -> list[Note]:
        return self.notes + [n for s in self.sources for n in s.all_notes()]


class Renamed(Source):
    """Rows of another source, in which the column `old` is called `new`."""

    def __init__(self, source: Source, old: str, new: str):
        super().__init__()
        self.source, self.old, self.new = source, old, new
        self.name, self.base, self.rows, self.decimal = source.name, source.base, source.rows, source.decimal
        self.size, self.parsed = source.size, source.parsed
        self.names = [new if n == old else n for n in source.names]

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        chosen = self.names if names is None else names
        inner = [self.old if n == self.new else n for n in chosen]
        for block in self.source.blocks(inner, rows):
            yield Block(block.start, block.columns.rename_columns(chosen))

    def fingerprint(self) -> str:
        return f"{self.source.fingerprint()}:{self.old}={self.new}"

    def where(self, row: int) -> str:
        return self.source.where(row)

    def all_notes(self) -> list[Note]:
        return self.notes + self.source.all_notes()
