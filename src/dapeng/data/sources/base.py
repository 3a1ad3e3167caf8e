"""What a source's options offer, beside the address they are found by."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.core.kinds import SourceOptions
from dapeng.core.spec import Data
from dapeng.data.table import Source


class Reader(SourceOptions):
    """A kind of address: a file by its ending, a folder, an object in memory, a name."""

    begins: ClassVar[tuple[bytes, ...]] = ()
    """First bytes that tell its files where the ending doesn't."""
    table: ClassVar[bool] = False
    """A single file of it is a table, so that a folder may hold several: train.csv and test.csv."""
    general: ClassVar[bool] = False
    """It takes what no other kind claims: any folder, any object like a data frame."""

    @classmethod
    def matches(cls, address: object) -> bool:
        """True if this kind reads the address: a path or another text, or an object."""
        return False

    @classmethod
    def whole(cls, address: str, base: Path | None) -> str | None:
        """An address that is more than a path (a URL, a sheet of a workbook, shards by number), so that it holds from any
        folder; None where it isn't this kind's. Paths in it start from `base`.
        """
        return None

    def open(self, address: object, data: Data) -> Source:
        """The rows behind an address. Raises DataError where it can't be read."""
        raise NotImplementedError

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        """The rows by part ("train", "validation", "test"), or all of them as "all"."""
        return {"all": self.open(address, data)}


def ending(address: object, *endings: str) -> bool:
    """True if an address is the path of a file with one of these endings, packed with gzip or not."""
    if not isinstance(address, (str, Path)):
        return False
    return str(address).lower().removesuffix(".gz").endswith(endings)


def from_base(path: str, base: Path | None) -> Path:
    """A path as it was written, from the folder that it starts from."""
    found = Path(path).expanduser()
    return found if found.is_absolute() else (base or Path.cwd()) / found


def refuse_unusable(name: str, names: list[str], rows: int | None, data: Data) -> None:
    """Refuse a table without rows or columns, with two columns of one name, or with more rows than the limit."""
    if rows == 0 or not names:
        what = "no rows" if names else "no columns"
        raise DataError(Problem(name, what, "check how the file was written"))
    if rows is not None and rows > data.limits.rows:
        raise LimitError(Problem(name, f"{rows:,} rows, more than {data.limits.rows:,}", "raise data.limits.rows"))
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DataError(Problem(name, f"two columns are called {twice[0]!r}", "give every column a name of its own"))
