"""Writing so that a crash, a full disk or a second process never leaves half a file.

Every write goes to a temporary file in the same folder, is flushed to the disk, and then takes the name of the old one in
one step; the folder is flushed too where the system can. Whoever reads sees the old file or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from dapeng.core.errors import RunError

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
NO_PLACE = {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
"""What the system says where a file is in the way of a folder, or nothing can be made there (as in /proc)."""
RETRIES = 20
"""On Windows a file that a virus scanner has open can't be replaced for a moment."""


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """A full disk or a missing permission as a RunError; the old file is still there."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise _full(path) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunError(f"can't write {path}: {error.strerror}", hint="choose another place") from None
        if error.errno in NO_PLACE and (why := _obstacle(path, error)):
            raise RunError(f"can't write {path}: {why}", hint="choose another place") from None
        raise
    except Exception as error:
        if "No space left on device" in str(error):  # writers in Rust and C++ have errors of their own
            raise _full(path) from None
        raise


def _obstacle(path: Path, error: OSError) -> str:
    """Why nothing can be written at a path; empty where the error is about something else."""
    names = [Path(os.fsdecode(n)) for n in (error.filename, error.filename2) if isinstance(n, (str, bytes))]
    if path.is_dir():
        if error.errno == errno.ENOENT:
            return ""
        if any(os.path.realpath(n) == os.path.realpath(path) for n in names):
            return "it is a folder"
        return next((f"{error.strerror}: {n}" for n in names if path in n.parents), "")
    for folder in path.parents:
        if folder.is_dir():
            break
        if os.path.lexists(folder):
            return f"{folder} is no folder"
    at = names[0] if names else None
    if at is None or (at != path and at.parent != path.parent and at not in path.parents):
        return ""
    return f"nothing can be made in {folder}" if error.errno == errno.ENOENT else ""


def _full(path: Path) -> RunError:
    return RunError(f"disk full while writing {path}", hint="free some space; what was there before is intact")


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can (Windows can't)."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):  # some network file systems
            raise
    finally:
        os.close(handle)


def _replace(source: Path, target: Path) -> None:
    for attempt in range(RETRIES):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if sys.platform != "win32" or attempt == RETRIES - 1:
                raise
            time.sleep(0.05)


@contextmanager
def atomic_open(path: str | Path, sync: bool = True) -> Iterator[IO[bytes]]:
    """A binary stream whose content takes the name `path` when the block ends well, and vanishes when it doesn't."""
    path = Path(path)
    with in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                if sync:
                    os.fsync(stream.fileno())
            temporary.chmod(_mode(path))
            _replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if sync:
            sync_folder(path.parent)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """As `atomic_open`, for libraries that want a path: a file written there takes the name `path` when the block ends well."""
    path = Path(path)
    with in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent) as folder:
            new = Path(folder) / path.name
            yield new
            sync_tree(Path(folder))
            new.chmod(_mode(path))
            _replace(new, path)
        sync_folder(path.parent)


def _mode(path: Path) -> int:
    """The permissions of a file that is replaced, or of a new one."""
    return path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: str | Path, data: bytes, sync: bool = True) -> None:
    with atomic_open(path, sync) as stream:
        stream.write(data)


def write_text(path: str | Path, text: str, sync: bool = True) -> None:
    write_bytes(path, text.encode("utf-8", "surrogatepass"), sync)


def write_json(path: str | Path, value: Any, sync: bool = True) -> None:
    """Plain values as JSON that every reader takes: a number that is not finite becomes null."""
    write_text(path, json_text(value, indent=1) + "\n", sync)


def json_text(value: Any, indent: int | None = None) -> str:
    return json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """Plain values with null for every number that is not finite; paths as texts; numpy's and torch's numbers as numbers."""
    if isinstance(value, (str, int, type(None))):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [finite(v) for v in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):  # an array or a scalar of numpy or torch, which this file does not import
        return finite(value.tolist())
    raise TypeError(f"{type(value).__name__} is not a plain value")


def read_json(path: str | Path) -> Any:
    """The values of a JSON file. Raises RunError that names the file where it can't be read."""
    path = Path(path)
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} is missing") from None
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise RunError(f"{path}{line} is not valid JSON") from None
    except OSError as error:
        raise RunError(f"can't read {path}: {error.strerror}") from None


def write_yaml(path: str | Path, value: Any, head: str = "", sync: bool = True) -> None:
    """Plain values as YAML that reads back the same in versions 1.1 and 1.2; `head` becomes comment lines above it."""
    from dapeng.core.yaml12 import dump

    comment = "".join(f"# {line}".rstrip() + "\n" for line in head.splitlines())
    write_text(path, comment + dump(value), sync)


class Lines:
    """A JSONL file that only grows: one line each call, whole lines only, even where two processes write.

    start: what lies before is of others, and is never cut. told: what every line says besides.
    """

    def __init__(
        self, path: str | Path, start: int = 0, told: Mapping[str, Any] = MappingProxyType({}), sync: bool = False
    ):
        self.path, self.start, self.told, self.sync = Path(path), start, told, sync
        with in_words(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._mend()
            self._stream = open(self.path, "ab", buffering=0)  # noqa: SIM115 - closed in close()

    def _mend(self) -> None:
        """A crash may have left half a line: cut it off, so that the next line stands alone."""
        if not self.path.exists() or not self.path.stat().st_size:
            return
        with open(self.path, "rb+") as stream:
            data_end = stream.seek(0, os.SEEK_END)
            start = max(data_end - 1_000_000, 0)
            stream.seek(start)
            tail = stream.read()
            if not tail.endswith(b"\n"):
                stream.truncate(start + tail.rfind(b"\n") + 1)

    def add(self, value: dict[str, Any]) -> None:
        line = json_text({**self.told, **value}).encode("utf-8", "surrogatepass") + b"\n"
        with in_words(self.path):
            self._stream.write(line)
            if self.sync:
                os.fsync(self._stream.fileno())

    def cut(self, size: int) -> None:
        """Forget what lies behind the first `size` bytes: a resumed run tells it again."""
        size = max(size, self.start)
        with in_words(self.path):
            if self.path.stat().st_size > size:
                os.truncate(self.path, size)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_lines(path: str | Path) -> list[dict[str, Any]]:
    """The values of a JSONL file; a last line that a crash cut short is left out."""
    path = Path(path)
    if not path.exists():
        return []
    out = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                out.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise RunError(f"{path}:{number} is not valid JSON") from None
    return out


def atomic_folder(path: str | Path, write: Callable[[Path], None]) -> None:
    """Make a folder in one step: `write` fills a temporary one, which then takes the name `path` (replacing an old one).

    Where `path` is a link, the folder that it leads to is replaced.
    """
    path = Path(path)
    with in_words(path):
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            write(temporary)
            temporary.chmod(0o777 & ~_umask())
            sync_tree(temporary)
            old = temporary.with_suffix(".old")
            if path.exists():
                _replace(path, old)
            _replace(temporary, path)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below to the disk."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with open(file, "rb+") as stream:
                os.fsync(stream.fileno())
        elif file.is_dir():
            sync_folder(file)
    sync_folder(folder)


def as_text(path: str) -> str:
    """A path as text: bytes of its name that aren't UTF-8 become %XX."""
    raw, out = os.fsencode(path), []
    while raw:
        try:
            out.append(raw.decode())
            break
        except UnicodeDecodeError as error:
            out.append(raw[: error.start].decode() + "".join(f"%{b:02X}" for b in raw[error.start : error.end]))
            raw = raw[error.end :]
    return "".join(out)


def from_text(path: Path) -> Path:
    """The file that `as_text` named: the path itself, or the one with bytes in place of %XX, where that is there."""
    if os.path.exists(path):  # of a name that is too long too, where Path.exists raises
        return path
    raw = re.sub(rb"%([89A-F][0-9A-F])", lambda m: bytes([int(m[1], 16)]), os.fsencode(path))
    other = Path(os.fsdecode(raw))
    return other if os.path.exists(other) else path


def sha256(path: str | Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Held(RunError):
    """Another process holds a lock."""


@contextmanager
def lock(path: str | Path, timeout: float = 60.0) -> Iterator[None]:
    """Hold a lock file; other processes wait. The system lets go of it when a process dies.

    Raises Held after `timeout` seconds.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = open(path, "a+b")  # noqa: SIM115 - closed below
    try:
        end = time.monotonic() + timeout
        while not _try_lock(stream):
            if time.monotonic() >= end:
                raise Held(f"another process holds {path}", hint="wait for it, or end it")
            time.sleep(0.02)
        try:
            yield
        finally:
            _unlock(stream)
    finally:
        stream.close()


def held(path: Path) -> bool:
    """Whether a process holds a lock file, or it can't be asked."""
    try:
        with open(path, "rb") as stream:  # closing it lets go of the lock
            return not _try_lock(stream)
    except OSError:
        return True


def _try_lock(stream: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unlock(stream: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream.fileno(), fcntl.LOCK_UN)
