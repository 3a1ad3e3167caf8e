"""One number a row: rows of equal cells have the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pandas.core.util.hashing import hash_array

from dapeng.columns.base import strings
from dapeng.data.table import Source


def row_hashes(table: pa.Table) -> np.ndarray:
    """(rows,) uint64: equal rows have equal hashes."""
    total = np.zeros(table.num_rows, np.uint64)
    for column in table.columns:
        cells = strings(column) if not pa.types.is_binary(column.type) else column
        values = hash_array(cells.to_pandas().to_numpy(dtype=object, na_value=None), categorize=True)
        with np.errstate(over="ignore"):
            total = (total ^ values) * np.uint64(0x9E3779B97F4A7C15)
            total ^= total >> np.uint64(29)
    return total


def source_hashes(source: Source, names: list[str]) -> np.ndarray:
    """(rows,) uint64 of some columns of a source, block by block."""
    parts = [row_hashes(block.columns) for block in source.blocks(names)]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)
