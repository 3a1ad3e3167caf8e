"""Encoded rows as arrays: in memory where they are small, else in files that are memory-mapped and found again."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dapeng.columns.base import Dims
from dapeng.core.errors import DapengError
from dapeng.core.files import read_json, write_json
from dapeng.data.groups import Group
from dapeng.data.mixture import Mixture

Shapes = dict[str, tuple[Group, dict[str, Dims]]]
"""Groups and layouts by key, in the order in which arrays are stored."""


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
    mixture: Mixture | None = None
    """In which proportions rows that train are drawn; None: each once an epoch."""

    @property
    def nbytes(self) -> int:
        return sum(s.nbytes for s in self.stored.values())


class Gathering:
    """Blocks one after the other: lists in memory, or, past `in_memory` bytes, files that grow in `folder`."""

    def __init__(self, folder: Callable[[], Path] | None, in_memory: int):
        self.open_folder, self.in_memory = folder, in_memory
        self.folder: Path | None = None
        self.parts: list[dict[str, Stored]] = []
        self.bytes = 0
        self.files: dict[str, BinaryIO] = {}
        self.form: dict[str, tuple[str, list[int]]] = {}
        self.totals: dict[str, int] = {}

    def add(self, part: dict[str, Stored]) -> None:
        if self.folder is not None:
            self._append(part)
            return
        self.parts.append(part)
        self.bytes += sum(s.nbytes for s in part.values())
        if self.bytes > self.in_memory and self.open_folder is not None:
            self.folder = self.open_folder()
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
                arrays["offsets"] = (stored.offsets[1:] if key in self.totals else stored.offsets) + start
                self.totals[key] = start + int(stored.offsets[-1])
            for name, array in arrays.items():
                self._write(f"{number}-{name}.bin", array)

    def _write(self, name: str, array: np.ndarray) -> None:
        if name not in self.files:
            assert self.folder is not None
            self.files[name] = open(self.folder / name, "wb")  # noqa: SIM115
            self.form[name] = (array.dtype.str, list(array.shape[1:]))
        self.files[name].write(np.ascontiguousarray(array).data)

    def close(self) -> None:
        for file in self.files.values():
            file.close()

    def joined(self) -> dict[str, Stored]:
        """What was gathered, where it is in memory."""
        return {key: _joined([p[key] for p in self.parts]) for key in (self.parts[0] if self.parts else {})}


def describe(store: Store, form: Mapping[str, tuple[str, list[int]]], folder: Path) -> None:
    """Write what is needed to find the arrays in a folder again."""
    np.save(folder / "left_out.npy", store.left_out)
    told = [asdict(q) for q in store.quarantined]
    sizes = {name: (folder / name).stat().st_size for name in form}
    write_json(folder / "store.json", {"rows": store.rows, "form": form, "sizes": sizes, "quarantined": told})


def mapped(folder: Path, shapes: Shapes, inputs: list[Group], targets: list[Group]) -> Store | None:
    """The store in a folder, memory-mapped; None if it isn't whole."""
    try:
        facts = read_json(folder / "store.json")
        if any((folder / name).stat().st_size != size for name, size in facts["sizes"].items()):
            return None
        left_out = np.load(folder / "left_out.npy")
    except (DapengError, OSError, ValueError):
        return None
    stored = {}
    for number, (key, (group, layout)) in enumerate(shapes.items()):
        arrays = {
            name.removesuffix(".bin").partition("-")[2]: _map(folder / name, *form)
            for name, form in facts["form"].items()
            if name.startswith(f"{number}-")
        }
        tensors = {n.removeprefix("t."): a for n, a in arrays.items() if n.startswith("t.")}
        stored[key] = Stored(group, layout, tensors, arrays.get("present"), arrays.get("offsets"))
    quarantined = [Quarantined(**q) for q in facts["quarantined"]]
    return Store(facts["rows"], stored, inputs, targets, quarantined, left_out, folder)


def _map(path: Path, dtype: str, tail: list[int]) -> np.ndarray:
    items = path.stat().st_size // (np.dtype(dtype).itemsize * int(np.prod(tail, initial=1)))
    return np.memmap(path, dtype, "r", shape=(items, *tail)) if items else np.empty((0, *tail), dtype)


def let_go(*arrays: np.ndarray | None) -> None:
    """Pages of mapped files that were read go back to the system, which may keep them for the next reader; others are left alone."""
    for array in arrays:
        mapping = getattr(array, "_mmap", None)
        if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)


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
