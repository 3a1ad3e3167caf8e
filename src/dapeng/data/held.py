"""Rows kept once they were read: in memory where they are few, else as an Arrow file on disk, if reading them again is slow.

So every later pass (fitting, encoding, classical learners, the next run) is fast, and never parses the original again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from dapeng.core.console import say
from dapeng.core.errors import DapengError
from dapeng.core.files import read_json, write_json
from dapeng.data import kept
from dapeng.data.table import BLOCK_BYTES, Block, Source, joined

SMALL_BYTES = 1 << 30
ROWS = 65_536
TEXT_BYTES = 1 << 27
"""The same for rows with texts, which take several times as much when they are looked at."""
ROOM = 1.5
"""Times the bytes of the original that must be free, so that its rows are kept on disk; the prepared ones want room too."""


class Held(Source):
    """The rows of a source, in memory; names rows and files as the source does."""

    def __init__(self, source: Source, table: pa.Table):
        super().__init__()
        self.source, self.table = source, table
        self.name, self.base = source.name, source.base
        self.names, self.rows = list(table.column_names), table.num_rows
        self.notes = source.notes

    def blocks(self, names: list[str] | None = None, rows: int = ROWS) -> Iterator[Block]:
        chosen = self.table if names is None else self.table.select(names)
        for start in range(0, chosen.num_rows, rows):
            yield Block(start, chosen.slice(start, rows))

    def read(self, names: list[str] | None = None) -> pa.Table:
        return self.table if names is None else self.table.select(names)

    def fingerprint(self) -> str:
        return self.source.fingerprint()

    def where(self, row: int) -> str:
        return self.source.where(row)


class OnDisk(Source):
    """The rows of a source, in an Arrow file of the disk cache."""

    def __init__(self, source: Source, folder: Path):
        super().__init__()
        self.source, self.path = source, folder / "rows.arrow"
        self.name, self.base = source.name, source.base
        facts = read_json(folder / "facts.json")
        self.rows, self.names = facts["rows"], facts["names"]
        self.notes = source.notes
        for note in facts["notes"]:
            source.note(**note)

    def blocks(self, names: list[str] | None = None, rows: int = ROWS) -> Iterator[Block]:
        wanted = self.names if names is None else names
        places = sorted(self.names.index(n) for n in set(wanted))
        with pa.OSFile(str(self.path), "rb") as file:
            reader = pa.ipc.open_file(
                file,
                options=pa.ipc.IpcReadOptions(included_fields=places, use_threads=False, ensure_native_endian=True),
            )
            start = 0
            for number in range(reader.num_record_batches):
                columns = pa.Table.from_batches([reader.get_batch(number)]).select(wanted)
                for at in range(0, columns.num_rows, rows):
                    block = Block(start, columns.slice(at, rows))
                    start += len(block)
                    yield block

    def fingerprint(self) -> str:
        return self.source.fingerprint()

    def where(self, row: int) -> str:
        return self.source.where(row)


def hold(source: Source, names: list[str], most: int = SMALL_BYTES) -> tuple[Source, int]:
    """The source with these columns, kept where that saves reading it again; and its number of rows."""
    key = ""
    if source.parsed and source.size > most // 4:  # else reading is quicker than hashing the file to look for it
        key = kept.address("rows", source.name, source.fingerprint(), names)
        held = _found(source, key)
        if held is not None:
            say(f"{source.name}: its rows are found again on disk")
            return held, held.rows or 0
    blocks = source.blocks(names)
    parts: list[pa.Table] = []
    size, rows = 0, 0
    for block in blocks:
        rows += len(block)
        size += block.columns.nbytes
        parts.append(block.columns)
        if size > most:
            key = key or (kept.address("rows", source.name, source.fingerprint(), names) if source.parsed else "")
            return _on_disk(source, names, key, parts, blocks)
    empty = pa.table({n: pa.array([], pa.string()) for n in names})
    return Held(source, joined(parts) if parts else empty), rows


def _found(source: Source, key: str) -> OnDisk | None:
    """The rows that were kept, if they are whole."""
    there = kept.found(key)
    if there is None:
        return None
    try:
        if read_json(there / "facts.json")["bytes"] == (there / "rows.arrow").stat().st_size:
            return OnDisk(source, there)
    except (DapengError, OSError, KeyError, TypeError):
        pass
    kept.remove(there)
    return None


def _on_disk(
    source: Source, names: list[str], key: str, parts: list[pa.Table], blocks: Iterator[Block]
) -> tuple[Source, int]:
    """What has been read and what is left, as a file, where there is room; else the source as it is, its rows counted."""
    rest = (b.columns for b in blocks)
    rows = sum(len(p) for p in parts)
    if key and _room(source):
        try:
            with kept.filling(key) as folder:
                rows = _write(folder / "rows.arrow", parts, rest)
                size = (folder / "rows.arrow").stat().st_size
                notes = [asdict(n) for n in source.all_notes()]
                facts = {"rows": rows, "bytes": size, "names": names, "notes": notes}
                write_json(folder / "facts.json", facts)
            return OnDisk(source, kept.folder() / key), rows
        except (_Differs, kept.Unwritable):
            return source, source.count()
    parts.clear()
    return source, rows + sum(len(columns) for columns in rest)


class _Differs(Exception):
    """Blocks whose columns have other types than those before."""


def _room(source: Source) -> bool:
    cache = kept.folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(cache).free > ROOM * source.size
    except OSError:
        return False


def _write(path: Path, parts: list[pa.Table], rest: Iterator[pa.Table]) -> int:
    """An Arrow file of batches of about `ROWS` rows, or fewer large ones; `parts` is emptied on the way. The number of rows."""
    schema = parts[0].schema
    rows = 0
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1), use_threads=False)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema, options=options) as writer:
        for some in _gathered(_drained(parts, rest)):
            if any(columns.schema != schema for columns in some):
                raise _Differs
            whole = pa.concat_tables(some).combine_chunks()
            writer.write_table(whole)
            rows += len(whole)
    return rows


def _drained(parts: list[pa.Table], rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    while parts:
        yield parts.pop(0)
    yield from rest


def _gathered(tables: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    """Tables that together have at least `ROWS` rows, or take a block's bytes."""
    waiting: list[pa.Table] = []
    for columns in tables:
        waiting.append(columns)
        if sum(map(len, waiting)) >= ROWS or sum(t.nbytes for t in waiting) > BLOCK_BYTES:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
