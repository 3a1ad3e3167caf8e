"""Arrow's own files, in the stream and in the file format: memory-mapped, read batch by batch, checked before they are used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from dapeng.core.errors import DataError, Problem

MAGIC = b"ARROW1"
FEATHER_1 = b"FEA1"
END = b"\xff\xff\xff\xff\0\0\0\0"
"""What writers put behind the last batch of a stream; readers don't ask for it."""


def schema(path: Path) -> pa.Schema:
    """Names and types of a file. Raises DataError where it is damaged, cut short or something else."""
    with pa.memory_map(str(_checked(path))) as file:
        try:
            return (pa.ipc.open_file(file) if in_file_format(path) else pa.ipc.open_stream(file)).schema
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from None


def row_count(path: Path) -> int | None:
    """Rows of a file in the file format, whose batches can be counted without reading them; None for a stream."""
    if not in_file_format(path):
        return None
    with pa.memory_map(str(path)) as file:
        try:
            return int(pa.ipc.open_file(file).count_rows())
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from None


def batches(path: Path, names: list[str] | None = None) -> Iterator[pa.Table]:
    """The record batches of a file as tables, of some columns or all. Dictionaries come as the values they stand for."""
    with pa.memory_map(str(path)) as file:
        try:
            if in_file_format(path):
                reader = pa.ipc.open_file(file)
                found = (reader.get_batch(i) for i in range(reader.num_record_batches))
            else:
                found = iter(pa.ipc.open_stream(file))
            for batch in found:
                columns = batch if names is None else batch.select(names)
                columns.validate(full=True)  # offsets out of a damaged file would end the process
                yield _plain(pa.Table.from_batches([columns]))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from None


def in_file_format(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def is_open_ended(path: Path) -> bool:
    """True for a stream without an end mark, which may have been cut short between two batches."""
    if in_file_format(path):
        return False
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - len(END), 0))
        return file.read() != END


def _checked(path: Path) -> Path:
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if not head:
        raise DataError(Problem(path.name, "the file is empty", "check how it was written"))
    if head.startswith(FEATHER_1):
        raise DataError(Problem(path.name, "is Feather of version 1, of before 2020", "write it anew with version 2"))
    return path


def _damaged(path: Path, error: Exception) -> DataError:
    first = str(error).splitlines()[0][:120]
    return DataError(
        Problem(path.name, f"is not a whole Arrow file: it is damaged or cut short ({first})", "copy or write it anew")
    )


def _plain(table: pa.Table) -> pa.Table:
    """The table without dictionaries, whose codes differ from file to file, and without what readers of text don't know."""
    for i, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
            kind = pa.string()
        if pa.types.is_binary_view(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            kind = pa.binary()
        if kind != field.type:
            table = table.set_column(i, field.name, table.column(i).cast(kind))
    return table
