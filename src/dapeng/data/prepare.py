"""Columns fitted, encoded once, and kept as arrays: in memory where they are small, else on disk, memory-mapped.

Everything here works block by block, so memory does not grow with the data. A prepared store is found again by the hash of
its data, its columns' settings and their fitted state; training then never touches the original files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.columns.base import Column, Dims, Encoded
from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import ColumnOptions
from dapeng.data.groups import WEIGHT, Group, group
from dapeng.data.table import Block, Source

IN_MEMORY = 1 << 30
"""Stores up to so many bytes live in memory."""


@dataclass(frozen=True)
class Quarantined:
    """A row that was left out: its position, where the user finds it, the column and the reason."""

    row: int
    where: str
    column: str
    reason: str


@dataclass
class Stored:
    """One group's arrays. Ragged tensors lie flat, with `offsets` (rows + 1)."""

    group: Group
    layout: dict[str, Dims]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    present: np.ndarray | None = None
    offsets: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        extra = sum(a.nbytes for a in (self.present, self.offsets) if a is not None)
        return extra + sum(a.nbytes for a in self.tensors.values())


@dataclass
class Store:
    """The prepared table: groups of inputs, targets by name, row weights, and what was left out."""

    rows: int
    stored: dict[str, Stored]
    inputs: list[Group]
    targets: list[Group]
    quarantined: list[Quarantined] = field(default_factory=list)
    left_out: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """Positions of the rows that are quarantined."""
    folder: Path | None = None

    @property
    def nbytes(self) -> int:
        return sum(s.nbytes for s in self.stored.values())


def fit_columns(
    source: Source,
    wanted: Mapping[str, tuple[ColumnOptions, bool]],
    training: Callable[[int, int], np.ndarray],
) -> dict[str, Column]:
    """Columns fitted on the training rows alone, in one pass.

    wanted: options, and whether it is a target, by column. training: (start, count) -> bool mask of those rows.
    Each block has summaries of its own that are merged in order: the same bytes on one machine and on many.
    """
    total = {name: options.summary(target) for name, (options, target) in wanted.items()}
    for block in source.blocks(list(wanted)):
        mask = training(block.start, len(block))
        if not mask.any():
            continue
        rows = block.columns if mask.all() else block.columns.filter(pa.array(mask))
        for name, (options, target) in wanted.items():
            part = options.summary(target)
            part.add(rows.column(name), source.base)
            total[name].merge(part)
    return {n: options.fitted(n, total[n].result(), target) for n, (options, target) in wanted.items()}


class Prepared:
    """Encodes blocks of rows and gathers them into a Store."""

    def __init__(self, inputs: Mapping[str, Column], targets: Mapping[str, Column], weight: str | None, max_bad: float):
        self.columns = {**inputs, **targets}
        self.inputs = group(inputs)
        self.targets = [Group(n, (n,), False) for n in targets]
        self.weight, self.max_bad = weight, max_bad

    def encode(self, block: Block, source: Source) -> tuple[dict[str, Stored], list[tuple[int, str, str]]]:
        """One block's arrays by group, and its bad cells as (position in the block, column, reason)."""
        out: dict[str, Stored] = {}
        bad: list[tuple[int, str, str]] = []
        for g in [*self.inputs, *self.targets]:
            cells = {n: self.columns[n].encode(block.columns.column(n), source.base) for n in g.columns}
            for name, encoded in cells.items():
                bad += [(row, name, why) for row, why in zip(encoded.bad.rows, encoded.bad.reasons)]
            out[g.key] = self._stack(g, cells) if g.block else self._alone(g, cells[g.columns[0]], len(block))
        if self.weight:
            out[WEIGHT] = self._weights(block, bad)
        return out, bad

    def _stack(self, g: Group, cells: dict[str, Encoded]) -> Stored:
        first = self.columns[g.columns[0]]
        layout = {n: Dims(f"B {len(g.columns)}", d.dtype) for n, d in first.layout().items()}
        tensors = {n: np.stack([cells[c].tensors[n] for c in g.columns], 1) for n in layout}
        present = None
        if any(self.columns[c].can_be_absent for c in g.columns):
            rows = len(next(iter(tensors.values())))
            every = np.ones(rows, bool)
            marks = (cells[c].present for c in g.columns)
            present = np.stack([every if m is None else m for m in marks], 1)
        return Stored(g, layout, tensors, present)

    def _alone(self, g: Group, encoded: Encoded, rows: int) -> Stored:
        column = self.columns[g.columns[0]]
        present = encoded.present if encoded.present is not None else np.ones(rows, bool)
        offsets = None
        if encoded.lengths is not None:
            offsets = np.concatenate([[0], np.cumsum(encoded.lengths)]).astype(np.int64)
        keep = column.target or column.can_be_absent
        return Stored(g, column.layout(), dict(encoded.tensors), present if keep else None, offsets)

    def _weights(self, block: Block, bad: list[tuple[int, str, str]]) -> Stored:
        from dapeng.columns.number import parse

        values, present, unread = parse(block.columns.column(self.weight), None, ".")
        bad += [(row, str(self.weight), why) for row, why in zip(unread.rows, unread.reasons)]
        wrong = np.flatnonzero(~present | (values < 0))
        bad += [
            (int(r), str(self.weight), "a weight must be a number of at least 0") for r in wrong if r not in unread.rows
        ]
        values = np.where(present & (values >= 0), values, 0.0).astype(np.float32)
        return Stored(Group(WEIGHT, (str(self.weight),), False), {"values": Dims("B", "float32")}, {"values": values})

    def store(self, source: Source, cache: Path | None = None, in_memory: int = IN_MEMORY) -> Store:
        """All rows of a source. Past `in_memory` bytes the arrays go to files in `cache` and are memory-mapped."""
        names = [*self.columns, *([self.weight] if self.weight and self.weight not in self.columns else [])]
        gathering = _Gathering(cache, in_memory)
        store = Store(0, {}, self.inputs, self.targets)
        counts: dict[str, int] = {}
        for block in source.blocks(names):
            part, bad = self.encode(block, source)
            gathering.add(part)
            for row, column, reason in bad:
                counts[column] = counts.get(column, 0) + 1
                if len(store.quarantined) < 10_000:
                    at = block.start + row
                    store.quarantined.append(Quarantined(at, source.where(at), column, reason))
            gathering.leave_out(store.rows, [row for row, _, _ in bad])
            store.rows += len(block)
        self._refuse_too_many(store, counts)
        store.stored, store.folder = gathering.finish()
        store.left_out = np.array(sorted(gathering.out), np.int64)
        return store

    def _refuse_too_many(self, store: Store, counts: dict[str, int]) -> None:
        problems = []
        for column, count in counts.items():
            if count > self.max_bad * max(store.rows, 1):
                shown = [q for q in store.quarantined if q.column == column][:3]
                examples = "; ".join(f"{q.where}: {q.reason}" for q in shown)
                problems.append(
                    Problem(
                        column,
                        f"{count:,} of {store.rows:,} cells can't be read as {self._type(column)}: {examples}",
                        "mend the cells, choose another type, or allow more with data.max_bad=0.1",
                    )
                )
        if problems:
            raise DataError(problems, f"too many unreadable cells (data.max_bad is {self.max_bad:g})")

    def _type(self, column: str) -> str:
        return self.columns[column].type if column in self.columns else "a weight"


class _Gathering:
    """Blocks one after the other: lists in memory, or files that grow."""

    def __init__(self, cache: Path | None, in_memory: int):
        self.cache, self.in_memory = cache, in_memory
        self.parts: list[dict[str, Stored]] = []
        self.bytes = 0
        self.folder: Path | None = None
        self.files: dict[str, Any] = {}
        self.shape: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.first: dict[str, Stored] = {}
        self.totals: dict[str, int] = {}
        self.out: set[int] = set()

    def leave_out(self, start: int, rows: list[int]) -> None:
        self.out.update(start + r for r in rows)

    def add(self, part: dict[str, Stored]) -> None:
        self.first = self.first or part
        if self.folder is None:
            self.parts.append(part)
            self.bytes += sum(s.nbytes for s in part.values())
            if self.bytes > self.in_memory and self.cache is not None:
                self._to_disk()
        else:
            self._append(part)

    def _to_disk(self) -> None:
        assert self.cache is not None
        self.cache.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=".preparing-", dir=self.cache))
        for part in self.parts:
            self._append(part)
        self.parts = []

    def _append(self, part: dict[str, Stored]) -> None:
        for number, (key, stored) in enumerate(part.items()):
            arrays = {f"t.{n}": a for n, a in stored.tensors.items()}
            if stored.present is not None:
                arrays["present"] = stored.present
            if stored.offsets is not None:
                start = self.totals.get(key, 0)
                arrays["offsets"] = (
                    stored.offsets[1:] if start or f"{key}/offsets" in self.files else stored.offsets
                ) + start
                self.totals[key] = start + int(stored.offsets[-1])
            for name, array in arrays.items():
                self._write(f"{key}/{name}", number, name, array)

    def _write(self, key: str, number: int, name: str, array: np.ndarray) -> None:
        if key not in self.files:
            assert self.folder is not None
            self.files[key] = open(self.folder / f"{number}-{name}.bin", "wb")  # noqa: SIM115
            self.shape[key] = (array.dtype.str, array.shape[1:])
        try:
            self.files[key].write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise DataError(f"disk full while preparing data in {self.folder}", hint=str(error)) from None

    def finish(self) -> tuple[dict[str, Stored], Path | None]:
        if self.folder is None:
            return {key: _joined([p[key] for p in self.parts]) for key in self.first}, None
        for file in self.files.values():
            file.close()
        out = {}
        for number, (key, first) in enumerate(self.first.items()):
            mapped = {n: self._map(f"{key}/t.{n}", number, f"t.{n}") for n in first.tensors}
            present = None if first.present is None else self._map(f"{key}/present", number, "present")
            offsets = None if first.offsets is None else self._map(f"{key}/offsets", number, "offsets")
            out[key] = Stored(first.group, first.layout, mapped, present, offsets)
        return out, self.folder

    def _map(self, key: str, number: int, name: str) -> np.ndarray:
        dtype, tail = self.shape[key]
        assert self.folder is not None
        path = self.folder / f"{number}-{name}.bin"
        items = path.stat().st_size // (np.dtype(dtype).itemsize * int(np.prod(tail, initial=1)))
        return np.memmap(path, dtype, "r", shape=(items, *tail)) if items else np.empty((0, *tail), dtype)


def _joined(parts: list[Stored]) -> Stored:
    first = parts[0]
    if len(parts) == 1:
        return first
    tensors = {n: np.concatenate([p.tensors[n] for p in parts]) for n in first.tensors}
    present = None if first.present is None else np.concatenate([p.present for p in parts if p.present is not None])
    offsets = None
    if first.offsets is not None:
        starts = np.cumsum([0, *(int(p.offsets[-1]) for p in parts if p.offsets is not None)])
        pieces = [p.offsets[:-1] + s for p, s in zip(parts, starts) if p.offsets is not None]
        offsets = np.concatenate([*pieces, starts[-1:]])
    return Stored(first.group, first.layout, tensors, present, offsets)


def content_key(fingerprint: str, columns: Mapping[str, Column], extra: Any = None) -> str:
    """The address of a prepared store: data, settings and fitted state."""
    from dapeng.core.spec import plain

    what = {n: [plain(c.options, every=True), c.state, c.target] for n, c in columns.items()}
    text = json.dumps([fingerprint, what, extra], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def remove(folder: Path) -> None:
    """A prepared store that is no longer needed."""
    shutil.rmtree(folder, ignore_errors=True)


def cache_folder() -> Path:
    """Where prepared data is kept: DAPENG_CACHE, else the user's cache folder."""
    base = os.environ.get("DAPENG_CACHE") or os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "dapeng" / "prepared" if not os.environ.get("DAPENG_CACHE") else Path(base) / "prepared"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "dapeng" / "prepared"
    return Path.home() / ".cache" / "dapeng" / "prepared"
