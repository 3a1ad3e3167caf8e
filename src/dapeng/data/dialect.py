"""What kind of CSV this is, by looking at its first lines: separator, decimal mark, names of the columns."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.core.spec import Data

CANDIDATES = (",", ";", "\t", "|")
SHOWN = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
ROWS = 200
"""Rows that are looked at."""


@dataclass(frozen=True)
class Dialect:
    """names: columns as the user may call them; unnamed ones are "unnamed 1", by position. rows: data rows looked at."""

    delimiter: str
    decimal: str
    names: list[str]
    unnamed: list[str]
    rows: int


def sniff(head: str, whole: bool, name: str, data: Data) -> Dialect:
    """The dialect of a text that starts with `head`; `whole` where that is all of it."""
    lines = head.splitlines(keepends=True)
    if not whole and len(lines) > 1:
        lines = lines[:-1]
    delimiter = data.delimiter or _delimiter(lines, name, data)
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise DataError(Problem(name, f"the separator must be one character, not {delimiter!r}", "set data.delimiter"))
    rows = _rows(lines, delimiter, name, data)
    if not rows:
        raise DataError(Problem(name, "the file is empty", "check how it was written or downloaded"))
    names, unnamed = _names(rows[0], name)
    return Dialect(delimiter, data.decimal or _decimal(rows[1:]), names, unnamed, len(rows) - 1)


def _rows(lines: list[str], delimiter: str, name: str, data: Data) -> list[list[str]]:
    csv.field_size_limit(data.limits.field_bytes)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            if row:
                rows.append(row)
            if len(rows) > ROWS:
                break
    except csv.Error as error:
        if not rows:
            what = f"the header has a cell of more than {data.limits.field_bytes:,} bytes ({error})"
            raise LimitError(
                Problem(f"{name}:1", what, "is a quote left open? Else raise data.limits.field_bytes")
            ) from None
    return rows


def _delimiter(lines: list[str], name: str, data: Data) -> str:
    """The separator under which most rows have as many cells as the header, and at least two."""
    best, best_score = ",", (0.0, 0)
    for candidate in CANDIDATES:
        rows = _rows(lines, candidate, name, data)
        if not rows or len(rows[0]) < 2:
            continue
        same = sum(len(r) == len(rows[0]) for r in rows) / len(rows)
        # A header alone agrees with itself under any separator: there, and on a tie, more columns win.
        score = (round(same, 1), len(rows[0]))
        if score > best_score:
            best, best_score = candidate, score
    return best


_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),(\d{1,2}|\d{4,})(\s?[%€])?")
_POINT = re.compile(r"[-+]?(\d{1,3}(,\d{3})+|\d+)\.(\d{1,2}|\d{4,})(\s?[%$€])?")


def _decimal(rows: list[list[str]]) -> str:
    """The mark that more cells use; three digits after a mark say nothing, since 1,234 may be a thousand."""
    found: Counter[str] = Counter()
    for row in rows:
        for cell in row:
            cell = cell.strip()
            found["," if _COMMA.fullmatch(cell) else "." if _POINT.fullmatch(cell) else ""] += 1
    return "," if found[","] > found["."] else "."


def _names(header: list[str], name: str) -> tuple[list[str], list[str]]:
    names = [unicodedata.normalize("NFC", h).strip() for h in header]
    unnamed = [f"unnamed {i}" for i, n in enumerate(names, 1) if not n]
    names = [n or f"unnamed {i}" for i, n in enumerate(names, 1)]
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice:
        places = [str(i) for i, n in enumerate(names, 1) if n == twice[0]]
        what = (
            f"the column name {twice[0]!r} stands in columns {' and '.join(places)}: a spec could not tell them apart"
        )
        raise DataError(Problem(f"{name}:1", what, "give every column a name of its own"))
    return names, unnamed


def looks_like_data(names: list[str]) -> bool:
    """True if at least half of the header are numbers: then the file probably has no header."""
    numbers = sum(bool(re.fullmatch(r"[-+]?\d+([.,]\d+)?", n)) for n in names)
    return len(names) > 0 and numbers * 2 >= len(names)
