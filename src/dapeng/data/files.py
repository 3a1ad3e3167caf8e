"""Bytes of files: opened, unpacked within a limit, hashed, and asked what they really are."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.core.spec import Data, Limits, plain

CHUNK = 1 << 20
FREE = 16 << 20
"""Unpacked bytes below which no factor of expansion is an attack."""

MOST_DEFLATED = 1100
"""No gzip stream grows by more than 1,032 times."""

KINDS = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "give a workbook the ending .xlsx, or unpack the archive"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "give it the ending .xls, or set data.format=excel"),
    b"%PDF": ("a PDF document", "give the table as CSV, Parquet or JSONL"),
    b"SQLite format 3": ("an SQLite database", "give it the ending .db, or name it as sqlite:///FILE?table=NAME"),
    b"PAR1": ("a Parquet file", "give it the ending .parquet, or set data.format=parquet"),
    b"ARROW1": ("an Arrow file", "give it the ending .arrow, or set data.format=arrow"),
    b"\x80\x04\x95": ("a pickle, which can run code", "save the data as Parquet or CSV"),
    b"\x80\x05\x95": ("a pickle, which can run code", "save the data as Parquet or CSV"),
}


def open_bytes(path: Path, limits: Limits) -> BinaryIO:
    """The bytes of a file, unpacked where it is gzip (told by its first bytes, not by its name)."""
    file = path.open("rb")
    magic = file.read(2)
    file.seek(0)
    if magic != b"\x1f\x8b":
        return file
    packed = path.stat().st_size
    stated = _stated_size(file, packed)
    if stated < MOST_DEFLATED * packed:  # more is impossible: the end is damaged, which reading will say
        refuse_bomb(path, stated, packed, limits)
    return io.BufferedReader(_Unpacked(path, file, limits), CHUNK)


def _stated_size(file: BinaryIO, packed: int) -> int:
    """The unpacked size that gzip states in its last four bytes (modulo 4 GB; of the last member alone)."""
    file.seek(max(packed - 4, 0))
    size = int.from_bytes(file.read(4), "little")
    file.seek(0)
    return size


def refuse_bomb(path: Path, unpacked: int, packed: int, limits: Limits) -> None:
    """Refuse what unpacks to more than the limit; small things are harmless."""
    if unpacked > FREE and unpacked > limits.expansion * packed:
        what = f"unpacks to more than {limits.expansion} times its size, like a decompression bomb"
        hint = "unpack it yourself, or raise data.limits.expansion"
        raise LimitError(Problem(path.name, what, hint))


class _Unpacked(io.RawIOBase):
    """A gzip stream that stops where it grows past the limit, measured against the packed bytes read so far."""

    def __init__(self, path: Path, file: BinaryIO, limits: Limits):
        self.path, self.file, self.limits = path, file, limits
        self.stream = gzip.GzipFile(fileobj=file)
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            count = self.stream.readinto(buffer)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                Problem(self.path.name, f"the gzip file is damaged or cut short ({error})", "get it anew")
            ) from None
        self.size += count
        refuse_bomb(self.path, self.size, self.file.tell(), self.limits)
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


def chunks(file: BinaryIO, size: int = CHUNK) -> Iterator[bytes]:
    """The bytes of an open file, piece by piece; closes it."""
    with file:
        while chunk := file.read(size):
            yield chunk


def refuse_other_kinds(path: Path, head: bytes) -> None:
    """Refuse what bears the name of a table and is something else: nothing, a web page, a workbook, a pickle."""
    if not head:
        raise DataError(Problem(path.name, "the file is empty", "check how it was written or downloaded"))
    for magic, (what, hint) in KINDS.items():
        if head.startswith(magic):
            raise DataError(Problem(path.name, f"is not text but {what}", hint))
    start = head[:2000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")) or (start.startswith(b"<?xml") and b"<html" in start):
        hint = "the download probably gave an error or log-in page: open it in a browser and look"
        raise DataError(Problem(path.name, "looks like HTML (a web page), not a table", hint))


def fingerprint(path: Path, data: Data, settings: tuple[str, ...] = ()) -> str:
    """SHA-256 of a file; settings that change how it is read, where they aren't the defaults, are hashed in."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    usual = Data()
    said = {s: getattr(data, s) for s in settings if getattr(data, s) != getattr(usual, s)}
    changed = {s: plain(v) if isinstance(v, Limits) else v for s, v in said.items()}
    return hashlib.sha256(f"{digest} {json.dumps(changed)}".encode()).hexdigest() if changed else digest


def missing(path: Path) -> DataError:
    """The error for a file that isn't there, with the name that may have been meant."""
    folder = path.parent
    if not folder.is_dir():
        return DataError(
            Problem(
                str(path), f"no such file: there is no folder {str(folder)!r}", f"the working folder is {Path.cwd()}"
            )
        )
    there = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    close = get_close_matches(path.name, there, n=1, cutoff=0.7)
    listed = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
    hint = (
        f"did you mean {close[0]!r}?"
        if close
        else f"{str(folder)!r} holds {listed}"
        if there
        else f"{str(folder)!r} is empty"
    )
    return DataError(Problem(str(path), "no such file", hint))
