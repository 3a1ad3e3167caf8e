"""Raw values of requests, column by column: checked before they wait, then stacked into the tensors of a batch.

A number arrives as a number or as text, a label as text, number or truth value, a text as text, a picture as the bytes of a file in
base64. What a checked value is (a float, a code, a text, pixels) is between `check` and `stack`. Nothing here opens a file.
"""

from __future__ import annotations

import base64
import binascii
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch

from dapeng.columns.base import Column, Encoded
from dapeng.columns.category import normal
from dapeng.columns.number import MISSING, unusual
from dapeng.columns.pictures import Unreadable
from dapeng.data.batch import Cells

LARGEST = 3.0e38
LABELS_KEPT = 10_000


class Unfit(ValueError):
    """A value that a column can't read."""

    def __init__(self, expected: str, found: str):
        self.expected, self.found = expected, found
        super().__init__(f"expected {expected}, found {found}")


def shown(value: Any) -> str:
    """A value in a few characters, for an error."""
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Reader(ABC):
    """One column of requests."""

    kind: ClassVar[str] = "FP32"
    """Its datatype in the Open Inference Protocol."""

    def __init__(self, column: Column):
        self.column, self.name, self.entry = column, column.name, column.entry()

    @abstractmethod
    def check(self, value: Any, notes: list[str]) -> Any:
        """The value as it will be stacked. Raises Unfit. `notes`: what is worth saying to the client."""

    @abstractmethod
    def matrix(self, values: list[Any]) -> Any:
        """What classical learners see."""

    def alone(self, values: list[Any]) -> Cells:
        """The tensors of a column that is no part of a block."""
        raise NotImplementedError


class NumberReader(Reader):
    """Floats, nan where missing."""

    def __init__(self, column: Any):
        super().__init__(column)
        missing = column.options.missing
        self.missing = {m.lower() for m in (["", *missing] if missing is not None else MISSING)}
        self.how = column.options.outliers
        self.fences = None if self.how == "keep" else column.state.get("fences")

    def check(self, value: Any, notes: list[str]) -> float:
        kind = type(value)
        if kind is str:
            value = self._text(value)
        elif value is None:
            return math.nan
        elif kind is not float and kind is not int:
            raise Unfit("a number", shown(value))
        if -LARGEST < value < LARGEST:
            return value if self.fences is None else self._fenced(value)
        if value != value and kind is str:
            return value
        raise Unfit("a finite number", shown(value))

    def _fenced(self, value: float) -> float:
        low, high = self.fences  # type: ignore[misc]
        return value if low <= value <= high else min(max(value, low), high) if self.how == "clip" else math.nan

    def _text(self, value: str) -> float:
        text = value.strip()
        if text.lower() in self.missing:
            return math.nan
        if self.column.options.decimal == ",":  # type: ignore[attr-defined]
            text = text.replace(".", "").replace(",", ".")
        number = unusual(text)
        if number is None:
            raise Unfit("a number", shown(value))
        if not math.isfinite(number):
            raise Unfit("a finite number", shown(value))
        return number

    def matrix(self, values: list[Any]) -> np.ndarray:
        return np.array(values, np.float64).astype(np.float32)[:, None]


class CategoryReader(Reader):
    """Codes, 0 for an unseen label and for a missing one."""

    kind = "BYTES"

    def __init__(self, column: Any):
        super().__init__(column)
        self.codes = {label: i + 1 for i, label in enumerate(column.labels)}
        self.form = column.options.normalise
        self.missing = {normal(m, self.form) for m in column.options.missing} | {""}
        self.known: dict[Any, int] = {}

    def check(self, value: Any, notes: list[str]) -> int:
        key = (type(value), value) if type(value) is not str else value
        try:
            code = self.known.get(key)
        except TypeError:
            raise Unfit("a label", shown(value)) from None
        return self._look(key, value, notes) if code is None else code

    def _look(self, key: Any, value: Any, notes: list[str]) -> int:
        label = self._label(value)
        if label is None or label in self.missing:
            return 0
        code = self.codes.get(label, 0)
        if not code:
            notes.append(f"{self.name}: label {shown(label)} was not seen in training; it is read as unknown")
        elif len(self.known) < LABELS_KEPT:
            self.known[key] = code
        return code

    def _label(self, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, float):
            if not math.isfinite(value):
                raise Unfit("a label", shown(value))
            return str(int(value)) if value == int(value) else repr(value)
        if isinstance(value, (str, int)):
            return normal(str(value), self.form)
        raise Unfit("a label", shown(value))

    def matrix(self, values: list[Any]) -> np.ndarray:
        return np.array(values, np.float32)[:, None]


class PictureReader(Reader):
    """Pixels, decoded while a request is checked, so that a damaged picture never waits beside good ones."""

    kind = "BYTES"

    def check(self, value: Any, notes: list[str]) -> dict[str, np.ndarray] | None:
        if value is None or value == "" or value == b"":
            return None
        data = from_base64(value)
        try:
            return self.column.tensors(data)  # type: ignore[attr-defined]
        except Unreadable as error:
            raise Unfit("a picture", str(error)) from None

    def _tensors(self, values: list[Any]) -> dict[str, np.ndarray]:
        blank = self.column.tensors(None)  # type: ignore[attr-defined]
        return {n: np.stack([blank[n] if v is None else v[n] for v in values]) for n in blank}

    def matrix(self, values: list[Any]) -> np.ndarray:
        return self.column.matrix_of(self._tensors(values)["pixels"])  # type: ignore[attr-defined]

    def alone(self, values: list[Any]) -> Cells:
        present = torch.tensor([v is not None for v in values]) if self.column.can_be_absent else None
        return Cells({n: torch.from_numpy(t) for n, t in self._tensors(values).items()}, present)


class AnyReader(Reader):
    """Whatever columns there are: `Column.encode` says what it can read."""

    def __init__(self, column: Column):
        super().__init__(column)
        self.kind = "FP32" if self.entry.kind in ("number", "numbers") else "BYTES"  # type: ignore[misc]

    def check(self, value: Any, notes: list[str]) -> Any:
        return self._read(value, notes)[0]

    def _read(self, value: Any, notes: list[str]) -> tuple[Any, Encoded]:
        """A value as data would hold it, and what the column makes of it. Raises Unfit."""
        try:
            value = self.column.posted(value)
        except ValueError as error:
            raise Unfit(self.column.expected, str(error)) from None
        try:
            cell = pa.array([value])
            found = self.column.encode(cell)
            for label in list(self.column.unseen(cell))[:5]:
                what = self.column.strange[0].format(shown(label))
                notes.append(f"{self.name}: {what}; it is read as unknown")
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError):
            raise Unfit(self.column.expected, shown(value)) from None
        if found.bad.rows:
            raise Unfit(self.column.expected, found.bad.reasons[0])
        return value, found

    def encoded(self, values: list[Any]) -> Encoded:
        """What the column makes of checked values."""
        return self.column.encode(array_of(values))

    def matrix(self, values: list[Any]) -> Any:
        return self.column.matrix(array_of(values))

    def alone(self, values: list[Any]) -> Cells:
        found = self.encoded(values)
        present = None
        if self.column.can_be_absent:
            present = torch.from_numpy(np.ones(len(values), bool) if found.present is None else found.present)
        if found.lengths is None:
            return Cells({n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in found.tensors.items()}, present)
        mask = np.arange(max(int(found.lengths.max(initial=0)), 1))[None] < found.lengths[:, None]  # (B, T)
        tensors = {}
        for name, flat in found.tensors.items():
            padded = np.zeros((*mask.shape, *flat.shape[1:]), flat.dtype)
            padded[mask] = flat
            tensors[name] = torch.from_numpy(padded)
        return Cells({**tensors, "mask": torch.from_numpy(mask)}, present)


class Opened(bytes):
    """A file of a request, and what its column made of it where it was checked."""

    found: Encoded


class FileReader(AnyReader):
    """Files, as bytes and never as a path; each is read once, where it is checked, so that a damaged one never waits beside good ones."""

    def check(self, value: Any, notes: list[str]) -> Opened | None:
        value, found = self._read(None if value is None else from_base64(value), notes)
        if value is None:
            return None
        opened = Opened(value)
        opened.found = found
        return opened

    def encoded(self, values: list[Any]) -> Encoded:
        parts = [v.found if v is not None else self.column.encode(pa.array([None], pa.binary())) for v in values]
        tensors = {n: np.concatenate([p.tensors[n] for p in parts]) for n in parts[0].tensors}
        ragged = [p.lengths for p in parts if p.lengths is not None]
        lengths = np.concatenate(ragged) if ragged else None
        there = np.array([p.present is None or bool(p.present[0]) for p in parts])
        return Encoded(tensors, None if there.all() else there, lengths)

    def matrix(self, values: list[Any]) -> Any:
        return self.column.matrix_again(pa.array(values, pa.binary()), self.encoded(values))


class TextReader(AnyReader):
    """Texts as they are."""

    def check(self, value: Any, notes: list[str]) -> str | None:
        if value is not None and not isinstance(value, str):
            raise Unfit("a text", shown(value))
        return value


READERS: dict[str, type[Reader]] = {
    "number": NumberReader,
    "category": CategoryReader,
    "image": PictureReader,
    "text": TextReader,
}
"""Faster or stricter than `AnyReader` and `FileReader`, of which every other type gets one."""


def array_of(values: list[Any]) -> pa.Array:
    """Checked values of several requests, which may differ in type, as one array."""
    try:
        return pa.array(values, pa.string()) if all(v is None for v in values) else pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())


def reader_for(column: Column) -> Reader:
    usual = FileReader if column.entry().kind == "file" else AnyReader
    return READERS.get(column.type, usual)(column)


def from_base64(value: Any) -> bytes:
    """The bytes of a file: as they are (multipart), or in base64, also as a data: address. Never a path."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Unfit("the bytes of a file in base64", shown(value))
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unfit("the bytes of a file in base64", shown(value)) from None


class NumberBlock:
    """Columns of numbers at once: (B, K) standardised as `NumberColumn.standardise` does it."""

    def __init__(self, columns: list[Any]):
        scaled = [c.options.scale != "none" for c in columns]
        self.mean = np.array([c.state["mean"] if s else 0.0 for c, s in zip(columns, scaled)])
        self.std = np.array([c.state["std"] if s else 1.0 for c, s in zip(columns, scaled)])
        self.logs = np.array([c.options.scale == "log" for c in columns])
        self.absent = any(c.can_be_absent for c in columns)

    def stack(self, rows: list[Any]) -> Cells:
        x = np.array(rows, np.float64)
        gone = np.isnan(x)
        some = bool(gone.any())
        if some:
            x[gone] = 0.0
        if self.logs.any():
            x = np.where(self.logs, np.sign(x) * np.log1p(np.abs(x)), x)
        x = ((x - self.mean) / self.std).astype(np.float32)
        if some:
            x[gone] = 0.0
        present = torch.from_numpy(~gone) if self.absent else None
        return Cells({"values": torch.from_numpy(x)}, present)


class CodeBlock:
    """Columns of labels at once: (B, K) codes."""

    def __init__(self, columns: list[Any]):
        pass

    def stack(self, rows: list[Any]) -> Cells:
        return Cells({"codes": torch.from_numpy(np.array(rows, np.int64))}, None)


BLOCKS: dict[str, Any] = {"number": NumberBlock, "category": CodeBlock}


class ColumnBlock:
    """Blocks of types that are added later, column by column through `Column.encode`."""

    def __init__(self, columns: list[Column]):
        self.columns = columns

    def stack(self, rows: list[Any]) -> Cells:
        parts = [c.encode(array_of([r[k] for r in rows])) for k, c in enumerate(self.columns)]
        names = list(self.columns[0].layout())
        tensors = {n: torch.from_numpy(np.stack([p.tensors[n] for p in parts], 1)) for n in names}
        if not any(c.can_be_absent for c in self.columns):
            return Cells(tensors, None)
        every = np.ones(len(rows), bool)
        return Cells(tensors, torch.from_numpy(np.stack([every if p.present is None else p.present for p in parts], 1)))
