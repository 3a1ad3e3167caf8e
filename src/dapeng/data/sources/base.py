"""What a source's options offer, beside the address they are found by."""

from __future__ import annotations

from pathlib import Path

from dapeng.core.kinds import SourceOptions
from dapeng.core.spec import Data
from dapeng.data.table import Source


class Reader(SourceOptions):
    """A kind of address: a file by its ending, a folder, an object in memory, a name."""

    @classmethod
    def matches(cls, address: object) -> bool:
        """True if this kind reads the address: a path or another text, or an object."""
        return False

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
