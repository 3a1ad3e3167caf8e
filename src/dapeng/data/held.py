"""Rows kept in memory once they were read, where they are few; else the source as it is, with its rows counted."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from dapeng.data.table import Block, Source

SMALL_BYTES = 1 << 30


class Held(Source):
    """The rows of a source, in memory; names rows and files as the source does."""

    def __init__(self, source: Source, table: pa.Table):
        super().__init__()
        self.source, self.table = source, table
        self.name, self.base = source.name, source.base
        self.names, self.rows = list(table.column_names), table.num_rows
        self.notes = source.notes

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        chosen = self.table if names is None else self.table.select(names)
        for start in range(0, chosen.num_rows, rows):
            yield Block(start, chosen.slice(start, rows))

    def read(self, names: list[str] | None = None) -> pa.Table:
        return self.table if names is None else self.table.select(names)

    def fingerprint(self) -> str:
        return self.source.fingerprint()

    def where(self, row: int) -> str:
        return self.source.where(row)


def hold(source: Source, names: list[str], most: int = SMALL_BYTES) -> tuple[Source, int]:
    """The source, in memory if its columns take at most so many bytes there; and its number of rows."""
    parts: list[pa.Table] = []
    size, rows, fits = 0, 0, True
    for block in source.blocks(names):
        rows += len(block)
        size += block.columns.nbytes
        if fits and size > most:
            fits, parts = False, []
        if fits:
            parts.append(block.columns)
    if not fits:
        return source, rows
    empty = pa.table({n: pa.array([], pa.string()) for n in names})
    return Held(source, pa.concat_tables(parts, promote_options="permissive") if parts else empty), rows
