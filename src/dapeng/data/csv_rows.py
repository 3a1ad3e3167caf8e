"""The careful reader of CSV: Python's csv module, which knows the line of every row, and mends or names what is wrong.

It gives exactly what the fast reader (csv_blocks.py) gives on a good file; a property test holds the two together.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, where no type checker sees them)

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.core.spec import Data
from dapeng.data.dialect import Dialect

END = "\x1e end of the file \x1e"
"""A last row of our own: where it isn't read back as it was written, a quote was left open."""

BATCH = 4 << 20
"""Characters after which a batch is given out."""


@dataclass
class Lines:
    """Which line a row starts on, as runs: within a run, line = row + offset."""

    rows: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    reached: int = 0

    def add(self, row: int, line: int) -> None:
        """A row that starts a run, or goes on with one; rows come in order, and a second pass says what the first said."""
        if row >= self.reached:
            self.reached = row + 1
            if not self.offsets or self.offsets[-1] != line - row:
                self.rows.append(row)
                self.offsets.append(line - row)

    def of(self, row: int) -> int:
        return row + self.offsets[bisect_right(self.rows, row) - 1]


@dataclass
class Repairs:
    """What one pass has mended or left out."""

    short: int = 0
    short_line: int = 0
    short_names: set[str] = field(default_factory=set)
    long: list[tuple[int, int]] = field(default_factory=list)
    long_count: int = 0


class RowReader:
    """One pass over the rows of a text stream.

    text: UTF-8 stream opened with newline="", to which a last line of END (as many cells as columns) is appended.
    """

    def __init__(self, text: io.TextIOBase, dialect: Dialect, name: str, data: Data, lines: Lines):
        self.dialect, self.name, self.data, self.lines = dialect, name, data, lines
        self.limit = data.limits.field_bytes
        self.repairs = Repairs()
        self.reader = csv.reader(self._physical(text), delimiter=dialect.delimiter)
        self.row = 0
        self.size = 0
        self.start = self.at = 1  # lines on which the last row that was read, and the one being read, start

    def _physical(self, text: io.TextIOBase) -> Iterator[str]:
        """Lines; one that is longer than any row may be is refused before it is in memory."""
        cap = 16 * self.limit
        number = 0
        while line := text.readline(cap):
            number += 1
            self.size += len(line)
            if len(line) == cap:
                what = f"the line is longer than {cap:,} characters"
                raise LimitError(
                    Problem(f"{self.name}:{number}", what, "is this a table? Else raise data.limits.field_bytes")
                )
            yield line

    def batches(self) -> Iterator[list[str]]:
        """Cells of data rows, row after row, one a column, some megabytes at a time.

        One flat list: a list of lists would keep Python's garbage collector busy for two thirds of the time.
        """
        header, done = True, False
        while not done:
            batch: list[str] = []
            try:
                done = self._fill(batch, header)
            except csv.Error as error:
                self._refuse(self.at, error)
            header = False
            if batch:
                yield batch

    def _fill(self, batch: list[str], header: bool) -> bool:
        """Append rows; True at the end of the file. The loop is flat, since it runs once a row."""
        csv.field_size_limit(self.limit)  # the module's only way, and shared by the process: set anew for each batch
        width, reader, lines = len(self.dialect.names), self.reader, self.lines
        full, last, offset = self.size + BATCH, self.row + 65_536, None
        while self.size < full and self.row < last:
            self.at = start = reader.line_num + 1
            row = next(reader, None)
            if row is None:
                raise self._open_quote()
            if not row:
                continue
            if row[0] == END:
                lines.reached = max(lines.reached, self.row)
                return True
            self.start = start
            if header:
                header = False
            elif len(row) == width or self._mended(row, width, start):
                if start - self.row != offset:
                    offset = start - self.row
                    lines.add(self.row, start)
                self.row += 1
                batch.extend(row)
        lines.reached = max(lines.reached, self.row)
        return False

    def _refuse(self, start: int, error: csv.Error) -> NoReturn:
        place = f"{self.name}:{start}"
        if "field limit" not in str(error):
            raise DataError(Problem(place, f"can't be read as CSV: {error}", "mend the line")) from None
        what = f"a cell is larger than {self.limit:,} bytes"
        hint = "raise data.limits.field_bytes if that is right"
        if self.reader.line_num > start:
            what += f" and runs on to line {self.reader.line_num}"
            hint = f"is a quote left open on line {start}? Else " + hint
        raise LimitError(Problem(place, what, hint)) from None

    def _open_quote(self) -> DataError:
        what = 'a quote (") that opens in the row starting here is never closed'
        return DataError(Problem(f"{self.name}:{self.start}", what, 'close it, or write a quote within a cell as ""'))

    def _mended(self, row: list[str], width: int, start: int) -> bool:
        """Fill a short row; refuse or leave out a long one. True if the row is kept."""
        if len(row) < width:
            self.repairs.short += 1
            self.repairs.short_line = self.repairs.short_line or start
            self.repairs.short_names.update(self.dialect.names[len(row) :])
            row.extend([""] * (width - len(row)))
            return True
        if not any(cell.strip() for cell in row[width:]):
            del row[width:]  # separators at the end of the line hold nothing
            return True
        if self.data.bad_rows == "reject":
            what = f"{len(row)} cells where the header has {width}"
            spans = self.reader.line_num - start
            if spans:
                what += f" (the row goes on to line {self.reader.line_num}: is a quote left open?)"
            hint = "quote cells that hold the separator, or set data.bad_rows=quarantine to leave such rows out"
            raise DataError(Problem(f"{self.name}:{start}", what, hint))
        self.repairs.long_count += 1
        if len(self.repairs.long) < 1000:
            self.repairs.long.append((start, len(row)))
        return False


def table(cells: list[str], names: list[str], chosen: list[str]) -> pa.Table:
    """A batch's cells as columns of text."""
    width = len(names)
    return pa.table({n: pa.array(cells[names.index(n) :: width], pa.string()) for n in chosen})


def too_large(columns: pa.Table, limit: int) -> tuple[int, str, int] | None:
    """Row, column and bytes of a cell with more bytes than `limit`, if there is one."""
    if columns.nbytes <= limit:
        return None
    for name in columns.column_names:
        sizes = pc.binary_length(columns.column(name))
        largest = pc.max(sizes).as_py() or 0
        if largest > limit:
            return pc.index(sizes, largest).as_py(), name, largest
    return None
