"""Columns of predictions.parquet as arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def array_of(column: pa.ChunkedArray) -> np.ndarray:
    """(N,) values, or (N, k) where cells are lists of k values; lists of different lengths are an array each."""
    whole = column.combine_chunks()
    chunks = whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole]
    if not pa.types.is_nested(column.type):
        return column.to_numpy()
    flat = [c.flatten().to_numpy(zero_copy_only=False) for c in chunks]
    lengths = (
        np.concatenate([c.value_lengths().to_numpy(zero_copy_only=False) for c in chunks]) if chunks else np.empty(0)
    )
    if len(lengths) and (lengths != lengths[0]).any():
        out = np.empty(len(lengths), object)
        out[:] = np.split(np.concatenate(flat), np.cumsum(lengths)[:-1].astype(int))
        return out
    return (np.concatenate(flat) if flat else np.empty(0)).reshape(len(column), -1)
