"""Arrow and Feather files. Typed values are kept as they are; the file is memory-mapped, not loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data import arrow_files, files
from dapeng.data.sources.base import Reader, refuse_unusable
from dapeng.data.table import Block, Source


@sources
class ArrowOptions(Reader):
    """Arrow: .arrow, .feather, .ipc, as a stream or as a file.

    Example: `dapeng train reviews.feather --target sentiment`
    """

    type: Literal["arrow"] = "arrow"
    begins: ClassVar[tuple[bytes, ...]] = (arrow_files.MAGIC, b"\xff\xff\xff\xff")
    table: ClassVar[bool] = True

    @classmethod
    def matches(cls, address: object) -> bool:
        return isinstance(address, (str, Path)) and str(address).lower().endswith((".arrow", ".feather", ".ipc"))

    def open(self, address: object, data: Data) -> Source:
        return ArrowSource(Path(str(address)), data)


class ArrowSource(Source):
    """One Arrow file, read record batch by record batch."""

    def __init__(self, path: Path, data: Data):
        super().__init__()
        self.path, self.data, self.name, self.base = path, data, path.name, path.parent
        self.size, self._hash = path.stat().st_size, ""
        self.names = list(arrow_files.schema(path).names)
        self.rows = arrow_files.row_count(path)
        refuse_unusable(self.name, self.names, self.rows, data)
        if arrow_files.is_open_ended(path):
            self.note("warning", self.name, "the stream has no end mark: it may be cut short")

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        start = 0
        for columns in arrow_files.batches(self.path, names):
            for at in range(0, columns.num_rows, rows):
                block = Block(start, columns.slice(at, rows))
                start += len(block)
                yield block
            refuse_unusable(self.name, self.names, start or None, self.data)
        if start == 0:
            raise DataError(Problem(self.name, "no rows", "check how the file was written"))
        self.rows = start

    def fingerprint(self) -> str:
        self._hash = self._hash or files.fingerprint(self.path, self.data)
        return self._hash
