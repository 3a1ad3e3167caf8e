"""JSON: one object a line (.jsonl, .ndjson), or one list of objects (.json). Values keep their types."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson
import pyarrow as pa

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data import files
from dapeng.data.encoding import Utf8Stream, utf8_chunks
from dapeng.data.sources.base import Reader, ending
from dapeng.data.table import BLOCK_BYTES, Block, Source
from dapeng.data.values import array

LOOK = 10_000
"""Records that are read to know the names and types of the columns."""
SETTINGS = ("encoding", "encoding_errors", "bad_rows", "max_bad", "limits")
_LONG = re.compile(rb"\d{19,}")
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_OPEN, _CLOSE = b"[{", b"]}"


@sources
class JsonlOptions(Reader):
    """JSON: .jsonl, .ndjson, or .json that holds a list of objects; packed with gzip or not.

    Example: `dapeng train reviews.jsonl --target sentiment`
    """

    type: Literal["jsonl"] = "jsonl"
    table: ClassVar[bool] = True

    @classmethod
    def matches(cls, address: object) -> bool:
        return ending(address, ".jsonl", ".ndjson", ".json")

    def open(self, address: object, data: Data) -> Source:
        return JsonSource(Path(str(address)), data)


class JsonSource(Source):
    """Records of one file."""

    parsed = True

    def __init__(self, path: Path, data: Data):
        super().__init__()
        self.path, self.data, self.name, self.base = path, data, path.name, path.parent
        self.size, self._hash = path.stat().st_size, ""
        with files.open_bytes(path, data.limits) as file:
            head = file.read(4096)
        files.refuse_other_kinds(path, head)
        self.listed = self._stream().read(64).lstrip().startswith(b"[")
        self._line_of: list[int] = []
        self.types = self._look()
        self.names = list(self.types)

    def _stream(self) -> io.BufferedReader:
        return io.BufferedReader(Utf8Stream(utf8_chunks(self.path, self.data, self.note)), files.CHUNK)

    def _look(self) -> dict[str, pa.DataType]:
        values: dict[str, list[Any]] = {}
        for seen, (_, record) in enumerate(self._records()):
            if seen >= LOOK:
                break
            for key in record:
                values.setdefault(key, [None] * seen)
            for key, column in values.items():
                column.append(record.get(key))
        if not values:
            raise DataError(Problem(self.name, "no rows", "check how the file was written"))
        return {name: array(column).type for name, column in values.items()}

    def _records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line or place of each record, and the record."""
        good = bad = 0
        first = ""
        for place, found in self._listed() if self.listed else self._lines():
            if isinstance(found, dict):
                good += 1
                yield place, found
                continue
            if self.data.bad_rows == "reject":
                raise DataError(
                    Problem(f"{self.name}:{place}", found, "mend it, or set data.bad_rows=quarantine to leave it out")
                )
            bad += 1
            first = first or f"{self.name}:{place}"
            if bad <= 1000:
                self.note("quarantine", f"{self.name}:{place}", f"{found}: left out")
        if bad > self.data.max_bad * (good + bad):
            what = f"{bad} of {good + bad} records can't be read, more than data.max_bad ({self.data.max_bad:.1%})"
            raise DataError(Problem(first, what, "mend them, or raise data.max_bad"))

    def _lines(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        cap = 16 * self.data.limits.field_bytes
        with self._stream() as stream:
            number = 0
            while line := stream.readline(cap):
                number += 1
                if len(line) == cap:
                    raise LimitError(
                        Problem(
                            f"{self.name}:{number}",
                            f"the line is longer than {cap:,} bytes",
                            "raise data.limits.field_bytes",
                        )
                    )
                if not line.isspace():
                    yield number, self._parsed(line, number)

    def _parsed(self, line: bytes, number: int) -> dict[str, Any] | str:
        if max(line.count(b"["), line.count(b"{")) + 1 > self.data.limits.depth // 2:
            self._refuse_depth(line, f"{self.name}:{number}")
        try:
            # Python's own reader keeps whole numbers of any length, orjson makes those beyond 64 bits inexact.
            value = json.loads(line, parse_constant=_no_constant) if _LONG.search(line) else orjson.loads(line)
        except ValueError as error:
            if b"\\ud" not in line.lower():
                return self._explained(line, error)
            try:
                value = json.loads(line, parse_constant=_no_constant)  # half a surrogate pair, which `array` replaces
            except ValueError:
                return self._explained(line, error)
            self.note("repair", f"{self.name}:{number}", "half a surrogate pair is replaced by U+FFFD")
        return value if isinstance(value, dict) else f"expected an object {{...}}, found {_kind(value)}"

    def _explained(self, line: bytes, error: ValueError) -> str:
        literal = re.search(rb"[:\[,]\s*(-?Infinity|NaN)\b", line)
        if literal:
            return f"{literal[1].decode()} is not JSON: write null for a missing number"
        if line.strip() in (b"{", b"[") or (line.lstrip().startswith(b"{") and line.count(b"{") > line.count(b"}")):
            return "the object doesn't end on its line: write one object a line, or a list [...] of objects in a .json file"
        return f"is not JSON ({str(error).split(': line')[0]})"

    def _refuse_depth(self, line: bytes, place: str) -> None:
        depth = deepest = 0
        text = False
        skip = False
        for byte in line:
            if skip:
                skip = False
            elif text:
                text, skip = byte != 0x22, byte == 0x5C
            elif byte == 0x22:
                text = True
            elif byte in _OPEN:
                depth += 1
                deepest = max(deepest, depth)
                if deepest > self.data.limits.depth:
                    raise LimitError(
                        Problem(place, f"nested more than {self.data.limits.depth} deep", "raise data.limits.depth")
                    )
            elif byte in _CLOSE:
                depth -= 1

    def _listed(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """The objects of a list, one by one, so that the list is never in memory as a whole."""
        decoder = json.JSONDecoder(parse_constant=_no_constant)
        with self._stream() as stream:
            text = io.TextIOWrapper(stream, "utf-8")
            rest, at, number, ended = text.read(files.CHUNK).lstrip("\ufeff \t\r\n")[1:], 0, 1, False
            while True:
                at = _BETWEEN.match(rest, at).end()  # type: ignore[union-attr]
                if rest.startswith("]", at):
                    return
                try:
                    value, at = self._next_object(decoder, rest, at, number)
                except json.JSONDecodeError as error:
                    rest, at = rest[at:], 0
                    more = "" if ended else text.read(max(files.CHUNK, len(rest)))
                    ended = not more
                    if ended or len(rest) > 16 * self.data.limits.field_bytes:
                        raise DataError(
                            Problem(f"{self.name}:record {number}", f"is not JSON ({error.msg})", "mend the file")
                        ) from None
                    rest += more
                    continue
                yield number, value if isinstance(value, dict) else f"expected an object {{...}}, found {_kind(value)}"
                number += 1

    def _next_object(self, decoder: json.JSONDecoder, rest: str, at: int, number: int) -> tuple[Any, int]:
        try:
            value, end = decoder.raw_decode(rest, at)
        except RecursionError:
            self._refuse_depth(rest[at:].encode("utf-8", "replace"), f"{self.name}:record {number}")
            raise
        except _Constant as error:
            raise DataError(
                Problem(
                    f"{self.name}:record {number}", f"{error} is not JSON: write null for a missing number", "mend it"
                )
            ) from None
        piece = rest[at:end]
        if max(piece.count("["), piece.count("{")) + 1 > self.data.limits.depth // 2:
            self._refuse_depth(piece.encode("utf-8", "replace"), f"{self.name}:record {number}")
        return value, end

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        chosen = self.names if names is None else list(names)
        start = 0
        columns: dict[str, list[Any]] = {n: [] for n in chosen}
        strange: dict[str, int] = {}
        size = held = 0
        for place, record in self._records():
            if len(record) > len(self.names) or not record.keys() <= self.types.keys():
                strange.update({k: place for k in record if k not in self.types and k not in strange})
            for name, column in columns.items():
                column.append(value := record.get(name))
                held += len(value) if isinstance(value, str) else 0
            size += 1
            if size == rows or held > BLOCK_BYTES:
                yield Block(start, self._table(columns))
                start, size, held, columns = start + size, 0, 0, {n: [] for n in chosen}
        if size:
            yield Block(start, self._table(columns))
        self.rows = start + size
        for key, place in strange.items():
            self.note(
                "warning",
                f"{self.name}:{place}",
                f"the key {key!r} doesn't occur in the first {LOOK:,} records: not read",
            )

    def _table(self, columns: dict[str, list[Any]]) -> pa.Table:
        return pa.table({n: array(values, self.types[n]) for n, values in columns.items()})

    def where(self, row: int) -> str:
        if self.listed:
            return f"{self.name}:record {row + 1}"
        if row >= len(self._line_of):
            self._line_of = []
            for place, _ in self._records():
                self._line_of.append(place)
                if len(self._line_of) > 2 * row:
                    break
        return f"{self.name}:{self._line_of[row]}" if row < len(self._line_of) else f"{self.name} row {row}"

    def fingerprint(self) -> str:
        self._hash = self._hash or files.fingerprint(self.path, self.data, SETTINGS)
        return self._hash


class _Constant(ValueError):
    """NaN or Infinity, which JSON doesn't have."""


def _no_constant(name: str) -> None:
    raise _Constant(name)


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
