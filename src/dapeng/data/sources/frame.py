"""What is in memory already: a data frame of pandas or polars, an Arrow table, a dict of lists, a list of dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from dapeng.columns.base import strings
from dapeng.core.errors import DataError
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data.sources.base import Reader
from dapeng.data.table import Frame, Source


@sources
class FrameOptions(Reader):
    """A pandas or polars data frame, an Arrow table, a dict of lists, or a list of dicts."""

    type: Literal["frame"] = "frame"
    general: ClassVar[bool] = True

    @classmethod
    def matches(cls, address: object) -> bool:
        return (
            isinstance(address, (pd.DataFrame, pa.Table, pa.RecordBatch, Mapping))
            or hasattr(address, "__arrow_c_stream__")
            or (isinstance(address, list) and bool(address) and isinstance(address[0], Mapping))
        )

    def open(self, address: object, data: Data) -> Source:
        table = as_table(address)
        names = table.column_names
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise DataError(
                f"two columns of the data frame are called {twice[0]!r}", hint="give every column a name of its own"
            )
        if not table.num_rows:
            raise DataError("the data frame has no rows")
        return Frame(table)


def as_table(address: Any) -> pa.Table:
    """Rows in memory as an Arrow table, without copying where they are Arrow already."""
    if isinstance(address, pa.Table):
        return address
    if isinstance(address, pa.RecordBatch):
        return pa.Table.from_batches([address])
    if isinstance(address, list):
        names = list(dict.fromkeys(key for row in address for key in row))
        address = {n: [row.get(n) for row in address] for n in names}
    if isinstance(address, pd.DataFrame):
        names = [str(n) for n in address.columns]
        return pa.Table.from_arrays([_array(address.iloc[:, i], n) for i, n in enumerate(names)], names=names)
    if isinstance(address, Mapping):
        return _from_lists({str(n): v for n, v in address.items()})
    return pa.table(address)


def _from_lists(columns: dict[str, Any]) -> pa.Table:
    lengths = {n: len(v) for n, v in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{n}: {length}" for n, length in list(lengths.items())[:6])
        raise DataError(f"the columns differ in length ({shown})", hint="give every column as many values")
    return pa.table({n: _array(v, n) for n, v in columns.items()})


def _nested(values: np.ndarray) -> pa.Array:
    """An array with several axes as lists of lists, the first of them the rows."""
    found: pa.Array = pa.array(np.ascontiguousarray(values).reshape(-1))
    for size in values.shape[:0:-1]:
        found = pa.FixedSizeListArray.from_arrays(found, size)
    return found


def _array(values: Any, name: str) -> pa.Array | pa.ChunkedArray:
    """One column; values of mixed types become text."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return _nested(values)
    if any(isinstance(v, np.ndarray) and v.ndim > 1 for v in values):
        values = [v.tolist() if isinstance(v, np.ndarray) else v for v in values]
    try:
        if isinstance(values, pd.Series):
            return pa.Array.from_pandas(values)
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        texts = [None if v is None or v is pd.NA or v != v else v if isinstance(v, str) else str(v) for v in values]
    try:
        return strings(pa.array(texts, pa.string()))
    except UnicodeEncodeError:
        return pa.array([None if t is None else t.encode("utf-8", "replace").decode() for t in texts], pa.string())
