"""Cells that name a file or hold one."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from dapeng.columns.base import Cells, Summary, one_array
from dapeng.core.files import from_text

LOOKED_AT = 1000
"""Cells by which a kind of file is guessed, and the share of them that must be of it, which is as sure as it then is."""
SURE = 0.95


def raw_cells(cells: Cells) -> list[Any]:
    """Paths or bytes; Hugging Face's {bytes, path} structs give their bytes, others are read as what they look like, which is no file."""
    array = one_array(cells)
    out = array.to_pylist()
    if pa.types.is_struct(array.type):
        known = {"bytes", "path"} & {f.name for f in array.type}
        out = [None if c is None else (c.get("bytes") or c.get("path")) if known else str(c) for c in out]
    return [None if isinstance(c, str) and not c.strip() else c for c in out]


class FileSummary(Summary):
    """A summary of cells that are files, of which some of each block are looked at, evenly spread.

    looked: how many of a block, about.
    """

    looked: ClassVar[int]
    missing: int

    def add(self, cells: Cells, base: Path | None = None) -> None:
        rows = raw_cells(cells)
        step = max(1, len(rows) // self.looked)
        for i, cell in enumerate(rows):
            if cell is None:
                self.missing += 1
            elif i % step == 0:
                self._look(cell, base)

    @abstractmethod
    def _look(self, cell: Any, base: Path | None) -> None:
        """Count a cell in that is there: a path, or bytes."""


def named_files(cells: Cells, base: Path | None) -> Iterator[Path]:
    """The files that cells name."""
    if pa.types.is_binary(cells.type) or pa.types.is_large_binary(cells.type):
        return
    for cell in raw_cells(cells):
        if isinstance(cell, str):
            yield Path(cell) if base is None else base / cell


def located(cell: Any, base: Path | None) -> bytes | Path:
    """The bytes, or the file that a cell names."""
    if isinstance(cell, bytes):
        return cell
    path = Path(str(cell))
    return from_text(path if path.is_absolute() or base is None else base / path)


def guessed_files(
    cells: Cells, named: re.Pattern[str], begins: Callable[[bytes], bool], what: str
) -> tuple[float, str]:
    """How surely cells are files of a kind, by their names or by the bytes that they begin with; and why."""
    some = [c for c in raw_cells(one_array(cells)[:LOOKED_AT]) if c is not None]
    paths = sum(isinstance(c, str) and bool(named.search(c)) for c in some)
    held = sum(isinstance(c, bytes) and begins(c) for c in some)
    if not some or max(paths, held) < SURE * len(some):
        return 0.0, ""
    return SURE, f"paths of {what}" if paths else f"bytes of {what}"
