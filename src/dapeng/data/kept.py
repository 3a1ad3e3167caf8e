"""What is kept on disk between runs, by the hash of what it was made from: prepared rows, tables that were slow to read, fits.

An entry is a folder that appears in one step, so a killed process leaves none that is half there. The least recently used go
first when all of them take more than their share of the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dapeng import __version__
from dapeng.core.errors import DataError, Problem
from dapeng.core.files import FULL, sync_tree
from dapeng.core.machine import cache_folder

SHARE = 1 / 3
"""Of the disk's free space, ours counted in, that may be kept; DAPENG_CACHE_SIZE (in GB) says otherwise."""
DEAD = 24 * 3600.0
"""Seconds after which a folder that was being written belongs to a process that is gone."""
MANY = 1 << 22
"""Elements above which an array of one element a row lies in a file of the disk cache, not in memory."""
RECENT = 6 * 3600.0
"""Seconds since it was last used in which another process may still be reading an entry."""
LAYOUT = 2
"""Raised when what lies in an entry changes its form."""


_ours: set[Path] = set()
"""Entries that this process uses."""


class Unwritable(DataError):
    """Nothing can be kept: no room, or no right to write."""


def folder() -> Path:
    """Where entries lie."""
    return cache_folder() / "prepared"


def address(*parts: Any) -> str:
    """The name of an entry: a hash of what it is made from."""
    text = json.dumps([__version__, LAYOUT, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def found(key: str, cache: Path | None = None) -> Path | None:
    """The entry of this address, marked as used now; None if there is none."""
    path = (cache or folder()) / key
    if not path.is_dir():
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    _ours.add(path)
    return path


@contextlib.contextmanager
def filling(key: str, cache: Path | None = None) -> Iterator[Path]:
    """A folder to write an entry into; it takes its name when the block ends well, and is removed when it doesn't."""
    cache = cache or folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=cache))
    except OSError as error:
        raise _unwritable(cache, error) from None
    try:
        yield temporary
        sync_tree(temporary)
        place(temporary, cache / key)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _unwritable(cache, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _ours.add(cache / key)
    tidy(cache)


def place(temporary: Path, path: Path) -> None:
    """Give a folder its name, unless another process was first: then that one stays, since it holds the same."""
    try:
        temporary.rename(path)
    except OSError:
        if not path.is_dir():
            raise


def _unwritable(cache: Path, error: OSError) -> Unwritable:
    hint = "make room there, or name another folder in DAPENG_CACHE"
    return Unwritable(Problem(str(cache), f"can't keep prepared data: {error.strerror or error}", hint))


def remove(path: Path) -> None:
    """An entry, in one step for other processes. One that another process has open stays, where the system says so."""
    trash = path.with_name(f".trash-{path.name}-{os.getpid()}")
    try:
        path.rename(trash)
    except OSError:
        return
    shutil.rmtree(trash, ignore_errors=True)


def tidy(cache: Path) -> None:
    """Remove what has been used least recently until the entries fit, and what dead processes left.

    What this process uses stays, and what another may be using.
    """
    now, total = time.time(), 0
    idle: list[tuple[float, int, Path]] = []
    for path in cache.iterdir():
        with contextlib.suppress(OSError):  # another process may be tidying too
            used, size = path.stat().st_mtime, size_of(path)
            if path.name.startswith((".writing-", ".trash-")):
                if now - max([used, *(f.stat().st_mtime for f in path.iterdir())]) > DEAD:
                    shutil.rmtree(path, ignore_errors=True)
                continue
            total += size
            if path not in _ours and now - used > RECENT:
                idle.append((used, size, path))
    most = limit(cache, total)
    for _, size, path in sorted(idle):
        if total <= most:
            break
        remove(path)
        total -= size


def limit(cache: Path, ours: int) -> float:
    """Bytes that entries may take."""
    named = os.environ.get("DAPENG_CACHE_SIZE")
    if named:
        with contextlib.suppress(ValueError):
            return float(named) * 1e9
        raise DataError(
            Problem("DAPENG_CACHE_SIZE", f"expected a number of GB, found {named!r}", "such as DAPENG_CACHE_SIZE=50")
        )
    return SHARE * (shutil.disk_usage(cache).free + ours)


def size_of(path: Path) -> int:
    """Bytes of the files in an entry."""
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat().st_size for f in path.iterdir()) if path.is_dir() else 0


def scratch(count: int, dtype: Any) -> np.ndarray:
    """An array of one element a row, not filled: in memory if it is small, else in a file that vanishes with it."""
    if count <= MANY:
        return np.empty(count, dtype)
    cache = folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache) as file:
            file.truncate(count * np.dtype(dtype).itemsize)
            return np.memmap(file, dtype, "r+", shape=(count,))
    except OSError as error:
        raise _unwritable(cache, error) from None
