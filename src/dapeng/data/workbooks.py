"""What a workbook is before it is opened: a zip archive within limits, an old workbook, or something else in its clothes.

A sheet is held as a rectangle from its first to its last cell, so two cells in far corners would take all memory, and a
row that OpenDocument says is repeated a million times too. Both are counted here, in the packed XML, before they are unpacked.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from dapeng.core.errors import DapengError, DataError, LimitError, Problem
from dapeng.core.spec import Data
from dapeng.data import files

OLD = b"\xd0\xcf\x11\xe0"
ZIP = b"PK\x03\x04"
AREA = 5_000_000
"""Cells of a rectangle (about 160 MB) below which its emptiness doesn't matter."""
EMPTY = 50
"""Times as large as the number of written cells that a larger rectangle may be."""
_CELL = re.compile(rb"[\"']([A-Za-z]{1,3})(\d{1,7})[\"']")
_ERROR = re.compile(rb"\st\s*=\s*[\"']e[\"']")
_FORMULA = re.compile(rb"</(?:\w+:)?f>\s*(?:<v\s*/>|<v>\s*</v>)?\s*</(?:\w+:)?c>")
_SHEETS = re.compile(r"xl/worksheets/[^/]+\.xml")


def examine(path: Path, data: Data) -> tuple[int, int]:
    """Refuse what is no workbook, or more than it seems.

    The numbers of cells that hold an error (#N/A), and of formulas whose value was never computed, where they are known.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(OLD):
        _refuse_password(path)
        return 0, 0
    if not head.startswith(ZIP):
        raise _disguised(path, head)
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpacked(path, archive, data)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: BaseException) -> DapengError:
    """The error for a workbook that breaks off or doesn't add up."""
    first = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    what = f"is not a whole workbook: it is damaged or cut short ({first})"
    return DataError(Problem(path.name, what, "open and save it anew, or save the sheet as CSV"))


def locked(path: Path) -> DapengError:
    """The error for a workbook with a password."""
    return DataError(Problem(path.name, "is protected by a password", "open it, and save a copy without the password"))


def _refuse_password(path: Path) -> None:
    """A new workbook with a password is an old container around an encrypted package."""
    with path.open("rb") as file:
        if "EncryptedPackage".encode("utf-16-le") in file.read(64 << 20):
            raise locked(path)


def _disguised(path: Path, head: bytes) -> DapengError:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<html", b"<!doctype html", b"<table", b"<meta", b"<head", b"<style")):
        what = "is a web page that is called a workbook, as some programs export tables"
        return DataError(Problem(path.name, what, "open it in a spreadsheet program, and save it as .xlsx or CSV"))
    if start.startswith(b"<?xml") and b"spreadsheet" in start:
        what = "is a workbook in the XML of 2003, which is not read"
        return DataError(Problem(path.name, what, "open it in a spreadsheet program, and save it as .xlsx or CSV"))
    files.refuse_other_kinds(path, head)
    if b"\0" not in head:
        return DataError(
            Problem(path.name, "is text, not a workbook", "give it the ending .csv, or set data.format=csv")
        )
    return DataError(Problem(path.name, "is not a workbook", "save the sheet as CSV"))


def _unpacked(path: Path, archive: zipfile.ZipFile, data: Data) -> tuple[int, int]:
    """Unpack everything once, which also checks every checksum, and look at the sheets on the way."""
    members = archive.infolist()
    if any(m.flag_bits & 1 for m in members):
        raise locked(path)
    packed, size, errors, formulas = max(path.stat().st_size, 1), 0, 0, 0
    for member in members:
        area = _Area(path) if _SHEETS.fullmatch(member.filename) else None
        repeats = _Repeats(path) if member.filename == "content.xml" else None
        for chunk in _chunks(archive, member):
            size += len(chunk)
            files.refuse_bomb(path, size, packed, data.limits)
            for reader in (area, repeats):
                if reader is not None:
                    reader.feed(chunk)
        if area is not None:
            errors, formulas = errors + area.errors, formulas + area.formulas
    return errors, formulas


def _chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(member) as file:
        while chunk := file.read(files.CHUNK):
            yield chunk


class _Area:
    """The rectangle of an Excel sheet, from the names of its cells ("XFD1048576")."""

    def __init__(self, path: Path):
        self.path, self.rest = path, b""
        self.cells = self.width = self.height = self.errors = self.formulas = 0

    def feed(self, chunk: bytes) -> None:
        text = self.rest + chunk
        end = text.rfind(b">") + 1 or len(text)
        text, self.rest = text[:end], text[end:][-files.CHUNK :]
        found = _CELL.findall(text)
        if found:
            self.cells += len(found)
            self.height = max(self.height, max(int(row) for _, row in found))
            self.width = max(self.width, max(map(_number, {column for column, _ in found})))
        self.errors += len(_ERROR.findall(text))
        self.formulas += len(_FORMULA.findall(text))
        _refuse_empty(self.path, self.height, self.width, self.cells)


def _number(column: bytes) -> int:
    """A column's letters as its number: A is 1, XFD is 16,384."""
    number = 0
    for letter in column.upper():
        number = number * 26 + letter - 64
    return number


def _refuse_empty(path: Path, height: int, width: int, cells: int) -> None:
    if height * width > max(AREA, EMPTY * cells):
        what = f"{cells:,} cells are spread over {height:,} rows and {width:,} columns, almost all of them empty"
        raise LimitError(Problem(path.name, what, "delete the cells that stand far off, or save the sheet as CSV"))


class _Repeats:
    """The rectangle of an OpenDocument sheet, from how often its cells and rows are said to be repeated."""

    def __init__(self, path: Path):
        self.path = path
        self.cells = self.width = self.height = self.row = self.times = 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.filled = False

    def feed(self, chunk: bytes) -> None:
        try:
            self.parser.Parse(chunk, False)
        except expat.ExpatError as error:
            raise damaged(self.path, error) from None

    def start(self, name: str, attributes: dict[str, Any]) -> None:
        kind = name.rpartition(":")[2]
        if kind == "table":
            self.cells = self.width = self.height = 0
        elif kind == "table-row":
            self.row, self.filled = 0, False
            self.times = _times(attributes, "number-rows-repeated")
        elif kind in ("table-cell", "covered-table-cell"):
            self.row += _times(attributes, "number-columns-repeated")
            if any(key.endswith("value-type") for key in attributes):
                self.cells, self.filled = self.cells + 1, True
                self.width = max(self.width, self.row)

    def end(self, name: str) -> None:
        if name.rpartition(":")[2] == "table-row" and self.filled:
            self.height += self.times
            _refuse_empty(self.path, self.height, self.width, self.cells)


def _times(attributes: dict[str, Any], wanted: str) -> int:
    text = next((v for k, v in attributes.items() if k.endswith(wanted)), "1")
    return int(text) if text.isdecimal() else 1
