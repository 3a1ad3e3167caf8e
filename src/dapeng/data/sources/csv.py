"""CSV, TSV and other separated text. Every cell is delivered as text; each column type decides what is missing.

Two readers give the same rows: Arrow's, streaming, for as long as every row has the right number of cells; and a careful
one with line numbers, which takes over from the row where Arrow's stopped, and mends, leaves out or names what is wrong.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.csv

from dapeng.core.errors import DapengError, DataError, LimitError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data import dialect, files
from dapeng.data.csv_rows import END, Lines, RowReader, table, too_large
from dapeng.data.encoding import Utf8Stream, utf8_chunks
from dapeng.data.sources.base import Reader, ending
from dapeng.data.table import Block, Source

HEAD = 256 << 10
BLOCK = 1 << 20
"""Bytes that Arrow parses at a time. It reads ahead some dozens: 1 MB costs 66 MB of memory and is as fast as 4 MB."""
NUMBERED = 256 << 20
"""Bytes up to which a file is read once more to say on which line a row stands; of larger ones the row is named."""
SETTINGS = ("encoding", "encoding_errors", "delimiter", "bad_rows", "max_bad", "limits")


@sources
class CsvOptions(Reader):
    """Separated text with a header line: .csv, .tsv, .txt, packed with gzip or not.

    Example: `dapeng train reviews.csv --target sentiment`
    """

    type: Literal["csv"] = "csv"
    table: ClassVar[bool] = True

    @classmethod
    def matches(cls, address: object) -> bool:
        return ending(address, ".csv", ".tsv", ".txt", ".tab", ".psv")

    def open(self, address: object, data: Data) -> Source:
        return CsvSource(Path(str(address)), data)


class CsvSource(Source):
    """One file of separated text."""

    parsed = True

    def __init__(self, path: Path, data: Data):
        super().__init__()
        self.path, self.data, self.name, self.base = path, data, path.name, path.parent
        self.size = path.stat().st_size
        self.lines = Lines()
        self.careful = False
        self._hash = ""
        self.dialect = self._look()
        self.names, self.decimal = self.dialect.names, self.dialect.decimal

    def _look(self) -> dialect.Dialect:
        with files.open_bytes(self.path, self.data.limits) as file:
            files.refuse_other_kinds(self.path, file.read(4096))
        with self._stream() as stream:
            head = stream.read(HEAD + 1)
        text = head[:HEAD].decode("utf-8", "ignore")
        whole = len(head) <= HEAD
        found = dialect.sniff(text, whole, self.name, self.data)
        if whole and found.rows == 0:
            raise self._no_rows()
        self._tell(found)
        return found

    def _no_rows(self) -> DataError:
        return DataError(
            Problem(self.name, "no rows: there is a header and nothing below it", "check how the file was written")
        )

    def _tell(self, found: dialect.Dialect) -> None:
        told = []
        if found.delimiter not in (",", self.data.delimiter) and not (
            found.delimiter == "\t" and ending(self.path, ".tsv", ".tab")
        ):
            told.append(f"{dialect.SHOWN[found.delimiter]} as separator")
        if found.decimal == "," and self.data.decimal is None:
            told.append("decimal comma")
        if told:
            self.note("repair", self.name, f"read with {' and '.join(told)}")
        if found.unnamed:
            names = ", ".join(map(repr, found.unnamed))
            many = "columns" if len(found.unnamed) > 1 else "column"
            self.note(
                "warning",
                f"{self.name}:1",
                f"the header leaves {len(found.unnamed)} {many} without a name: called {names}",
            )
        if dialect.looks_like_data(found.names):
            self.note(
                "warning", f"{self.name}:1", "the first line looks like data: it is read as the names of the columns"
            )

    def _stream(self, tail: str = "") -> io.BufferedReader:
        chunks = utf8_chunks(self.path, self.data, self.note)
        return io.BufferedReader(Utf8Stream(chunks, tail.encode()), files.CHUNK)

    def _end(self) -> str:
        return "\n" + self.dialect.delimiter.join([END] * len(self.names)) + "\n"

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        chosen = self.names if names is None else list(names)
        start = 0
        for columns in self._tables(chosen):
            for at in range(0, columns.num_rows, rows):
                block = Block(start, columns.slice(at, rows))
                start += len(block)
                self._count(start)
                yield block
        if start == 0:
            raise self._no_rows()
        self.rows = start

    def _count(self, rows: int) -> None:
        if rows > self.data.limits.rows:
            raise LimitError(Problem(self.name, f"more than {self.data.limits.rows:,} rows", "raise data.limits.rows"))

    def _tables(self, chosen: list[str]) -> Iterator[pa.Table]:
        done = 0
        if not self.careful:
            try:
                for columns in self._fast(chosen or self.names[:1]):
                    done += columns.num_rows
                    yield columns
                return
            except pa.ArrowInvalid:
                self.careful = True  # a row that needs a careful eye; later passes start there
        yield from self._slow(chosen or self.names[:1], done)

    def _fast(self, chosen: list[str]) -> Iterator[pa.Table]:
        """Arrow's reader. The header comes as a first row, since it may span lines; END comes as a last one."""
        with self._stream(self._end()) as stream:
            reader = self._arrow(stream, chosen)
            first, last = 1, None
            for batch in reader:
                columns = pa.Table.from_batches([batch]).slice(first)
                first = 0 if batch.num_rows else first
                if not columns.num_rows:
                    continue
                if last is not None:
                    yield last
                last = columns
                if too_large(columns, self.data.limits.field_bytes):
                    raise pa.ArrowInvalid("a cell is too large")  # the careful reader knows the line
        if last is None or any(c[-1].as_py() != END for c in last.columns):
            raise pa.ArrowInvalid("a quote is left open")
        if last.num_rows > 1:
            yield last.slice(0, last.num_rows - 1)

    def _arrow(self, stream: io.BufferedReader, chosen: list[str]) -> pyarrow.csv.CSVStreamingReader:
        return pyarrow.csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=self.names),
            parse_options=pyarrow.csv.ParseOptions(delimiter=self.dialect.delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                check_utf8=False,  # the stream has checked
                column_types=dict.fromkeys(self.names, pa.string()),
                include_columns=chosen,
                strings_can_be_null=False,
            ),
        )

    def _slow(self, chosen: list[str], done: int) -> Iterator[pa.Table]:
        """The careful reader, from row `done` on."""
        with self._stream(self._end()) as stream:
            text = io.TextIOWrapper(stream, "utf-8", newline="")
            reader = RowReader(text, self.dialect, self.name, self.data, self.lines)
            start, width = 0, len(self.names)
            for batch in reader.batches():
                skip = min(max(0, done - start), reader.row - start)
                if start + skip < reader.row:
                    columns = table(batch[skip * width :], self.names, chosen)
                    self._refuse_large(columns, start + skip)
                    yield columns
                start = reader.row
        self._report(reader)

    def _refuse_large(self, columns: pa.Table, start: int) -> None:
        found = too_large(columns, limit := self.data.limits.field_bytes)
        if found:
            row, name, size = found
            what = f"a cell of column {name!r} has {size:,} bytes, more than {limit:,}"
            hint = "raise data.limits.field_bytes if that is right"
            raise LimitError(Problem(f"{self.name}:{self.lines.of(start + row)}", what, hint))

    def _report(self, reader: RowReader) -> None:
        found = reader.repairs
        if found.short:
            names = [n for n in self.names if n in found.short_names]
            what = f"{found.short} {'rows have' if found.short > 1 else 'row has'} too few cells: left empty at their end ({', '.join(names)})"
            self.note("repair", f"{self.name}:{found.short_line}", what, found.short)
        for line, cells in found.long:
            self.note(
                "quarantine", f"{self.name}:{line}", f"{cells} cells where the header has {len(self.names)}: left out"
            )
        if found.long_count > len(found.long):
            more = found.long_count - len(found.long)
            self.note("quarantine", self.name, f"{more} more rows with too many cells: left out", more)
        share = found.long_count / max(1, found.long_count + reader.row)
        if share > self.data.max_bad:
            what = f"{found.long_count} rows ({share:.1%}) have too many cells, more than data.max_bad ({self.data.max_bad:.1%})"
            raise DataError(Problem(f"{self.name}:{found.long[0][0]}", what, "mend them, or raise data.max_bad"))

    def where(self, row: int) -> str:
        if row >= self.lines.reached and self.size <= NUMBERED:
            self._number(row)
        return f"{self.name}:{self.lines.of(row)}" if row < self.lines.reached else f"{self.name} row {row}"

    def _number(self, row: int) -> None:
        """Read on until the line of a row is known, and as far again, so that asking for many rows stays linear."""
        with self._stream(self._end()) as stream:
            reader = RowReader(
                io.TextIOWrapper(stream, "utf-8", newline=""), self.dialect, self.name, self.data, self.lines
            )
            try:
                for _ in reader.batches():
                    if reader.row > 2 * row:
                        break
            except DapengError:
                return  # what is wrong there is reported by `blocks`

    def fingerprint(self) -> str:
        self._hash = self._hash or files.fingerprint(self.path, self.data, SETTINGS)
        return self._hash
