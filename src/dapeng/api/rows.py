"""Rows for a trained run, from whatever a user has: a table, a folder of files, or one picture, sound or video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import columns as column_types
from dapeng.core.spec import Data
from dapeng.data.infer import guess
from dapeng.data.open import open_data
from dapeng.data.sources.folder import FolderSource
from dapeng.data.table import Concat, Frame, Renamed, Source
from dapeng.product.product import Product

FILE = "file"
"""The column that names the file of each row beside its predictions."""


def source_of(data: Any) -> Source:
    """Rows from whatever a user has."""
    if isinstance(data, Source):
        return data
    path = isinstance(data, (str, Path))
    if isinstance(data, dict) and data and not isinstance(next(iter(data.values())), (list, tuple, np.ndarray)):
        data = [data]
    return open_data(Data(path=str(data)) if path else Data(), None, None if path else {"all": data}).whole()


def rows_for(product: Product, data: Any) -> Source:
    """Rows to predict. One file is one row where the run reads files alone; the files of a folder are what the only such input reads.

    Raises DataError, with what to give instead, where a file or a folder says less than the run reads.
    """
    if isinstance(data, (str, Path)) and product.inputs and _one_file(Path(data)):
        return _row(product, Path(data))
    source = source_of(data)
    paths, missing = paths_of(source), [n for n in product.inputs if n not in source.names]
    if paths is None or not missing:
        return source
    reading = [n for n, c in product.inputs.items() if c.options.reads_files]
    if missing == reading and len(reading) == 1:
        return Renamed(source, paths, missing[0])
    raise _too_little(product, source.name, "a folder of files gives one column of paths")


def paths_of(source: Source) -> str | None:
    """The column with the paths of a folder's files; None where the source is no such folder."""
    if isinstance(source, Renamed):
        found = paths_of(source.source)
        return source.new if found == source.old else found
    each = source.sources if isinstance(source, Concat) else [source]
    names = {s.paths if isinstance(s, FolderSource) else None for s in each}
    return names.pop() if len(names) == 1 else None


def with_files(predictions: pa.Table, columns: pa.Table, paths: str | None) -> pa.Table:
    """Predictions with the file of each row before them, where rows are files of a folder."""
    if paths is None or FILE in predictions.column_names:
        return predictions
    return predictions.add_column(0, FILE, columns.column(paths))


def _one_file(path: Path) -> bool:
    """Whether this is a picture, a sound, a video or the like, by its name, and no table."""
    if not path.is_file():
        return False
    kind = guess(FILE, pa.array([path.name]), False).options.get("type")
    return kind is not None and column_types.members()[kind].reads_files


def _row(product: Product, path: Path) -> Source:
    (name, column), *more = product.inputs.items()
    if more or not column.options.reads_files:
        raise _too_little(product, path.name, "one file is no table")
    return Frame(pa.table({name: [path.name]}), path.name, path.parent)


def _too_little(product: Product, name: str, what: str) -> DataError:
    names = ", ".join(product.inputs)
    return DataError(Problem(name, f"{what}, and the model reads {names}", f"give a table (such as CSV) with {names}"))
