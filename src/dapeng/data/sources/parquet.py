"""Parquet files. Typed values are kept as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data import files
from dapeng.data.sources.base import Reader, refuse_unusable
from dapeng.data.table import BLOCK_BYTES, Block, Source


@sources
class ParquetOptions(Reader):
    """Parquet: .parquet, .pq.

    Example: `dapeng train reviews.parquet --target sentiment`
    """

    type: Literal["parquet"] = "parquet"
    begins: ClassVar[tuple[bytes, ...]] = (b"PAR1",)
    table: ClassVar[bool] = True

    @classmethod
    def matches(cls, address: object) -> bool:
        return isinstance(address, (str, Path)) and str(address).lower().endswith((".parquet", ".pq"))

    def open(self, address: object, data: Data) -> Source:
        return ParquetSource(Path(str(address)), data)


class ParquetSource(Source):
    """One Parquet file, read row group by row group."""

    def __init__(self, path: Path, data: Data):
        super().__init__()
        self.path, self.data, self.name, self.base = path, data, path.name, path.parent
        self.size, self._hash = path.stat().st_size, ""
        with self._file() as file:
            self.names = list(file.schema_arrow.names)
            self.rows = rows = int(file.metadata.num_rows)
        refuse_unusable(self.name, self.names, rows, data)

    def _file(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path, memory_map=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DataError:
        size = self.path.stat().st_size
        first = str(error).splitlines()[0]
        what = (
            "the file is empty" if size == 0 else f"is not a whole Parquet file: it is damaged or cut short ({first})"
        )
        return DataError(Problem(self.name, what, "copy or write it anew"))

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        start = 0
        with self._file() as file:
            try:
                for batch in file.iter_batches(self._rows(file, rows, names), columns=names, use_threads=False):
                    columns = pa.Table.from_batches([batch])
                    yield Block(start, columns if names is None else columns.select(names))
                    start += len(columns)
            except (pa.ArrowInvalid, OSError) as error:
                raise self._damaged(error) from None

    def _rows(self, file: Any, rows: int, names: list[str] | None) -> int:
        """Rows of a block: fewer where their texts would take more than `BLOCK_BYTES`."""
        wanted = {f.name for f in file.schema_arrow if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)}
        wanted &= set(file.schema_arrow.names if names is None else names)
        about = file.metadata
        size = 0
        for group in range(about.num_row_groups):
            columns = (about.row_group(group).column(c) for c in range(about.num_columns))
            size += sum(c.total_uncompressed_size for c in columns if c.path_in_schema in wanted)
        return min(rows, max(1, BLOCK_BYTES * max(about.num_rows, 1) // max(size, 1)))

    def fingerprint(self) -> str:
        self._hash = self._hash or files.fingerprint(self.path, self.data)
        return self._hash
