"""What lies where in a tar archive of samples: files next to each other that differ in their endings are one sample.

The archive is never unpacked: member names are only names here, and those that lead out of a folder, links and devices are
refused all the same, since such an archive is an attack. Reading is forward only, so that packed shards (.tar.gz) work too.
"""

from __future__ import annotations

import re
import tarfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.core.spec import Data
from dapeng.data import files

MOST_SHARDS = 100_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_DRIVE = re.compile(r"^[A-Za-z]:")
BLOCK = tarfile.BLOCKSIZE


def expanded(pattern: str) -> list[str]:
    """The names that {000..012} and {a,b} stand for; a pattern without braces is itself."""
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    span = _RANGE.fullmatch(found[1])
    if span is not None:
        first, last = int(span[1]), int(span[2])
        if last < first or last - first >= MOST_SHARDS:
            raise DataError(Problem(pattern, f"{found[0]} is no range of shards", "as in shards-{000..012}.tar"))
        words = [str(i).zfill(len(span[1])) for i in range(first, last + 1)]
    else:
        words = found[1].split(",")
    heads = [pattern[: found.start()] + word + pattern[found.end() :] for word in words]
    out = [name for head in heads for name in expanded(head)]
    if len(out) > MOST_SHARDS:
        raise LimitError(Problem(pattern, f"stands for more than {MOST_SHARDS:,} shards", "name fewer"))
    return out


class Index:
    """Where the files of each sample of one shard lie. keys: of the samples. places: by ending, two arrays (bytes from the
    start, -1 where a sample has no such file; and sizes). passed: members that belong to no sample.
    """

    def __init__(self, path: Path, data: Data):
        self.path, self.data = path, data
        self.keys: list[str] = []
        self.places: dict[str, tuple[array[int], array[int]]] = {}
        self.passed, self.open_ended = 0, False
        self._seen: set[int] = set()
        try:
            self._read()
        except tarfile.TarError as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, why: str) -> DataError:
        what = f"is not a whole tar archive: it is damaged or cut short ({why})"
        return DataError(Problem(self.path.name, what, "copy or write it anew"))

    def _read(self) -> None:
        with files.open_bytes(self.path, self.data.limits) as file:
            head = file.read(BLOCK) if file.seekable() else b""
            if file.seekable():
                if not head.strip(b"\0") or head[257:262] != b"ustar":
                    self._refuse_others(head)
                file.seek(0)
                with tarfile.open(fileobj=file, mode="r:") as tar:
                    self._members(tar)
                    self._whole(file, tar.offset)
            else:
                last = _Last(file)
                with tarfile.open(fileobj=last, mode="r|", bufsize=BLOCK) as tar:  # type: ignore[call-overload]
                    self._members(tar)
                if last.block.strip(b"\0"):
                    raise self._damaged("it breaks off within a file")

    def _refuse_others(self, head: bytes) -> None:
        if not head:
            raise DataError(Problem(self.path.name, "the file is empty", "check how it was written"))
        if not head.strip(b"\0"):
            raise DataError(Problem(self.path.name, "no rows: the archive is empty", "check how it was written"))
        files.refuse_other_kinds(self.path, head)

    def _whole(self, file: BinaryIO, end: int) -> None:
        """A header that can't be read ends an archive in silence; only zeros may stand where it ends."""
        file.seek(end)
        rest = file.read(BLOCK)
        if rest.strip(b"\0"):
            raise self._damaged(f"no file begins at byte {end:,}")
        self.open_ended = len(rest) < BLOCK

    def _members(self, tar: tarfile.TarFile) -> None:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # it keeps them all
            if member.isdir():
                continue
            self._refuse(member)
            folder, _, name = member.name.rpartition("/")
            stem, dot, ending = name.partition(".")
            if not dot or not stem or not ending or stem.startswith("__"):
                self.passed += 1
                continue
            self._add(f"{folder}/{stem}" if folder else stem, ending.lower(), member)

    def _refuse(self, member: tarfile.TarInfo) -> None:
        shown = f"{self.path.name}: {member.name[:100]!r}"
        parts = member.name.replace("\\", "/").split("/")
        if member.name.startswith(("/", "\\")) or ".." in parts or _DRIVE.match(member.name):
            raise DataError(Problem(shown, "leads out of the archive, as in an attack", "don't use this archive"))
        if not member.isreg() or member.issparse():
            kind = "a link" if member.issym() or member.islnk() else "not a plain file"
            raise DataError(Problem(shown, f"is {kind}", "write shards of plain files alone"))

    def _add(self, key: str, ending: str, member: tarfile.TarInfo) -> None:
        if not self.keys or self.keys[-1] != key:
            if hash(key) in self._seen:
                what = f"the files of the sample {key!r} don't lie next to each other, or it is there twice"
                raise DataError(Problem(self.path.name, what, "sort the files by name, and write the shard anew"))
            self._seen.add(hash(key))
            self.keys.append(key)
            if len(self.keys) > self.data.limits.rows:
                most = self.data.limits.rows
                raise LimitError(Problem(self.path.name, f"more than {most:,} samples", "raise data.limits.rows"))
        offsets, sizes = self.places.setdefault(ending, (array("q"), array("q")))
        if len(offsets) == len(self.keys):
            what = f"the sample {key!r} has two files that end in .{ending}"
            raise DataError(Problem(self.path.name, what, "give every file of a sample another ending"))
        missing = len(self.keys) - 1 - len(offsets)
        offsets.extend([-1] * missing + [member.offset_data])
        sizes.extend([0] * missing + [member.size])

    def place(self, ending: str, sample: int) -> tuple[int, int]:
        """Where the file of a sample begins, and its size; -1 where there is none."""
        offsets, sizes = self.places.get(ending, ((), ()))
        return (offsets[sample], sizes[sample]) if sample < len(offsets) else (-1, 0)


class _Last:
    """A stream that remembers the last block that was read from it."""

    def __init__(self, file: BinaryIO):
        self.file, self.block = file, b""

    def read(self, size: int = -1) -> bytes:
        found = self.file.read(size)
        self.block = found or self.block
        return found


class Forward:
    """Pieces of a file in the order in which they lie there; what is skipped of a packed one is unpacked and dropped."""

    def __init__(self, file: BinaryIO):
        self.file, self.at, self.jumps = file, 0, file.seekable()

    def read(self, start: int, size: int) -> bytes:
        if self.jumps:
            self.file.seek(start)
        else:
            while self.at < start:
                self.at += len(self.file.read(min(start - self.at, files.CHUNK))) or start
        found = self.file.read(size)
        self.at += len(found)
        return found


def in_order(index: Index, endings: list[str]) -> Iterator[tuple[int, list[tuple[int, int, str]]]]:
    """Each sample, and where its files with these endings lie, first to last."""
    for sample in range(len(index.keys)):
        places = [(*index.place(ending, sample), ending) for ending in endings]
        yield sample, sorted(p for p in places if p[0] >= 0)
