"""Cells that name a file or hold one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from dapeng.columns.base import Cells, one_array
from dapeng.core.files import from_text


def raw_cells(cells: Cells) -> list[Any]:
    """Paths or bytes; Hugging Face's {bytes, path} structs give their bytes."""
    array = one_array(cells)
    out = array.to_pylist()
    if pa.types.is_struct(array.type):
        out = [None if c is None else (c.get("bytes") or c.get("path")) for c in out]
    return [None if isinstance(c, str) and not c.strip() else c for c in out]


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
