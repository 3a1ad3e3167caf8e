"""Workbooks of Excel and LibreOffice, read by calamine. Numbers, dates and truth values keep their types.

The header is the first line that is about as full as the table is wide, so titles above it don't disturb. In a workbook every
number is a float: a column of whole ones is read as whole, so that the label 1 is not called 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.core.errors import DapengError, DataError, Problem, need_extra
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data import files, workbooks
from dapeng.data.sources.base import Reader, from_base, refuse_unusable
from dapeng.data.table import Frame, Source

LOOK = 30
"""Lines from the top in which the header is looked for."""
ROWS = 65_536
ENDINGS = (".xlsx", ".xlsm", ".xls", ".ods")
_SHEET = re.compile(r"^(.*\.(?:xlsx|xlsm|xls|ods))#(.+)$", re.IGNORECASE | re.DOTALL)
_WHOLE = 2.0**53


@sources
class ExcelOptions(Reader):
    """A workbook: .xlsx, .xlsm, .xls, .ods. The first sheet is read, or the one that is named after a #.

    Example: `dapeng train book.xlsx#Sheet2 --target sentiment`
    """

    type: Literal["excel"] = "excel"
    begins: ClassVar[tuple[bytes, ...]] = (workbooks.OLD, workbooks.ZIP)
    table: ClassVar[bool] = True

    @classmethod
    def matches(cls, address: object) -> bool:
        return isinstance(address, (str, Path)) and _split(str(address))[0].lower().endswith(ENDINGS)

    @classmethod
    def whole(cls, address: str, base: Path | None) -> str | None:
        path, sheet = _split(address)
        if sheet is None or "://" in address:
            return None
        return f"{from_base(path, base).absolute()}#{sheet}"

    def open(self, address: object, data: Data) -> Source:
        path, sheet = _split(str(address))
        return ExcelSource(Path(path), sheet, data)


def _split(address: str) -> tuple[str, str | None]:
    found = _SHEET.match(address)
    return (found[1], found[2]) if found else (address, None)


class ExcelSource(Frame):
    """One sheet of a workbook, in memory as columns of Arrow: a sheet has at most 1,048,576 rows."""

    parsed = True

    def __init__(self, path: Path, sheet: str | None, data: Data):
        if not path.exists():
            raise files.missing(path)
        self.path, self.data, self._hash = path, data, ""
        errors, formulas = workbooks.examine(path, data)
        with _told(path):
            book = _opened(path)
            self.sheet, others = _chosen(path, [m for m in book.sheets_metadata if _is_sheet(m)], sheet)
            found = _Sheet(f"{path.name}#{self.sheet}", book.get_sheet_by_name(self.sheet))
            columns = found.columns()
        super().__init__(columns, found.name, path.parent)
        self.size, self.numbers = path.stat().st_size, found.numbers
        refuse_unusable(self.name, self.names, self.rows, data)
        if others and sheet is None:
            self.note("info", path.name, f"the sheet {self.sheet!r} is read; there are more: {', '.join(others)}")
        for note in found.said:
            self.note(*note)
        if errors:
            self.note("warning", path.name, f"{errors} cells hold an error such as #N/A: read as missing", errors)
        if formulas:
            said = f"{formulas} formulas have no stored value: read as missing; open the workbook and save it"
            self.note("warning", path.name, said, formulas)

    def where(self, row: int) -> str:
        return f"{self.name}:{self.numbers[row]}"

    def fingerprint(self) -> str:
        self._hash = self._hash or files.fingerprint(self.path, self.data) + f"#{self.sheet}"
        return self._hash


class _told:
    """What calamine raises, and where it panics, as an error in plain words."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, (DapengError, KeyboardInterrupt, MemoryError)):
            return
        names = {c.__name__ for c in type(error).__mro__}
        if "PasswordError" in names:
            raise workbooks.locked(self.path) from None
        if names & {"CalamineError", "PanicException", "OSError"}:
            raise workbooks.damaged(self.path, error) from None


def _opened(path: Path) -> Any:
    try:
        from python_calamine import CalamineWorkbook
    except ImportError:
        raise need_extra("excel", "python-calamine") from None
    return CalamineWorkbook.from_path(str(path))


def _is_sheet(facts: Any) -> bool:
    """True for cells; charts and macros have none."""
    return str(facts.typ).endswith("WorkSheet")


def _chosen(path: Path, known: list[Any], wanted: str | None) -> tuple[str, list[str]]:
    """The sheet to read, and the names of the visible others."""
    names = [m.name for m in known]
    seen = [m.name for m in known if str(m.visible).endswith(".Visible")] or names
    if not names:
        raise DataError(Problem(path.name, "holds no sheet with cells", "save the table as a sheet"))
    if wanted is None:
        return seen[0], seen[1:]
    if wanted not in names:
        close = get_close_matches(wanted, names, n=1)
        hint = f"did you mean {path.name}#{close[0]}?" if close else f"the sheets are {', '.join(names)}"
        raise DataError(Problem(path.name, f"no sheet {wanted!r}", hint))
    return wanted, [n for n in seen if n != wanted]


class _Sheet:
    """The lines of a sheet: header found, empty ones left out, merged cells filled."""

    def __init__(self, name: str, sheet: Any):
        self.name, self.sheet = name, sheet
        self.said: list[tuple[str, str, str, int]] = []
        self.numbers = np.empty(0, np.int32)

    def columns(self) -> pa.Table:
        """Everything below the header."""
        if self.sheet.start is None:
            raise DataError(Problem(self.name, "the sheet is empty", "name another sheet, as in book.xlsx#Sheet2"))
        top, names = self._header()
        parts: list[list[pa.Array]] = [[] for _ in names]
        numbers: list[int] = []
        for rows in self._blocks(top, numbers):
            for i, part in enumerate(parts):
                part.append(_array([row[i] for row in rows]))
        self.numbers = np.array(numbers, np.int32)
        return self._named(names, [_joined(p) for p in parts])

    def _blocks(self, top: int, numbers: list[int]) -> Iterator[list[list[Any]]]:
        """Lines with something in them, some at a time; their numbers are counted in."""
        fill = _Merged(self.sheet)
        rows: list[list[Any]] = []
        empty = filled = 0
        for at, row in enumerate(self.sheet.iter_rows()):
            if at <= top:
                continue
            filled += fill(at, row)
            if all(v == "" for v in row):
                empty += 1
                continue
            rows.append(row)
            numbers.append(at + 1)
            if len(rows) == ROWS:
                yield rows
                rows = []
        yield rows
        if empty:
            self.said.append(("info", self.name, f"{empty} empty lines are not read", empty))
        if filled:
            self.said.append(("repair", self.name, f"{filled} cells below a merged one get its value", filled))

    def _header(self) -> tuple[int, list[str]]:
        """Line of the header (0-based), and the names of the columns."""
        head = [row for _, row in zip(range(self.sheet.start[0] + LOOK), self.sheet.iter_rows())]
        full = [sum(v != "" for v in row) for row in head]
        # a title has one cell; the header as many as the table is wide, give or take unnamed ones
        place = next(i for i, n in enumerate(full) if n >= max(1, (max(full) + 1) // 2))
        while full[place] == 1 < max(full) and full[place + 1 : place + 2] == [0]:  # a title, with an empty line below
            place = next(i for i, n in enumerate(full) if i > place and n)
        titles = sum(n > 0 for n in full[:place])
        if titles:
            said = f"the names of the columns stand in line {place + 1}; {titles} lines above them are not read"
            self.said.append(("info", self.name, said, titles))
        return place, [_text(v).strip() for v in head[place]]

    def _named(self, names: list[str], columns: list[pa.Array]) -> pa.Table:
        """A table; a column without a name is dropped where it is empty, else called by its place."""
        kept, unnamed = {}, []
        for i, (name, column) in enumerate(zip(names, columns), 1):
            if not name and column.null_count == len(column):
                continue
            if not name:
                name = f"unnamed {i}"
                unnamed.append(name)
            if name in kept:
                where, what = f"{self.name}", f"two columns are called {name!r}: a spec could not tell them apart"
                raise DataError(Problem(where, what, "give every column a name of its own"))
            kept[name] = column
        if unnamed:
            said = f"{len(unnamed)} columns have no name: called {', '.join(unnamed)}"
            self.said.append(("warning", self.name, said, len(unnamed)))
        return pa.table(kept)


class _Merged:
    """Fills the cells below the first one of a merged range, which alone holds the value."""

    def __init__(self, sheet: Any):
        left = sheet.start[1]
        self.starts: dict[int, list[tuple[int, int]]] = {}
        self.active: list[tuple[int, int, Any]] = []
        for (top, column), (bottom, _) in sheet.merged_cell_ranges or []:
            if bottom > top and column >= left:
                self.starts.setdefault(top, []).append((column - left, bottom))

    def __call__(self, at: int, row: list[Any]) -> int:
        """Fill a line in place; the number of cells filled."""
        count = 0
        for column, bottom, value in self.active:
            if at <= bottom and row[column] == "" and value != "":
                row[column] = value
                count += 1
        self.active = [a for a in self.active if a[1] > at]
        self.active += [(c, bottom, row[c]) for c, bottom in self.starts.get(at, ()) if c < len(row)]
        return count


def _text(value: Any) -> str:
    """A cell as a person would read it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _WHOLE else repr(value)
    return str(value)


def _array(values: list[Any]) -> pa.Array:
    """Cells of one column as Arrow: numbers, dates, times, truth values or text; what is mixed becomes text."""
    kinds = {type(v) for v in values} - {str}
    texts = any(isinstance(v, str) and v != "" for v in values)
    cells = [None if v == "" else v for v in values]
    if not kinds:
        return pa.array(cells, pa.string()) if texts else pa.nulls(len(cells))
    if texts or not (kinds in ({bool}, {time}) or kinds <= {int, float} or kinds <= {date, datetime}):
        return pa.array([None if v is None else _text(v) for v in cells], pa.string())
    if kinds <= {int, float}:
        found = pa.array(cells, pa.float64())
        there = np.array([v for v in cells if v is not None])
        whole = bool((there == np.round(there)).all()) and bool((np.abs(there) < _WHOLE).all())
        return found.cast(pa.int64()) if whole else found
    if kinds == {date, datetime}:
        cells = [datetime(v.year, v.month, v.day) if type(v) is date else v for v in cells]
    return pa.array(cells)


def _joined(parts: list[pa.Array]) -> pa.Array:
    """Parts of a column as one array: of the type they share, else numbers as floats, else text."""
    kinds = {p.type for p in parts if not pa.types.is_null(p.type)}
    if len(kinds) <= 1:
        kind: Any = next(iter(kinds), pa.string())
    elif kinds == {pa.int64(), pa.float64()}:
        kind = pa.float64()
    elif kinds == {pa.date32(), pa.timestamp("us")}:
        kind = pa.timestamp("us")
    else:
        kind = pa.string()
    return pa.concat_arrays([_cast(p, kind) for p in parts]) if parts else pa.array([], pa.string())


def _cast(part: pa.Array, kind: pa.DataType) -> pa.Array:
    if part.type == kind:
        return part
    if kind == pa.string() and pa.types.is_floating(part.type):
        return pa.array([None if v is None else _text(v) for v in part.to_pylist()], kind)
    return part.cast(kind)
