"""What comes from others: run archives and weight files, looked at before anything is unpacked or loaded."""

from __future__ import annotations

import json
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from dapeng.core.errors import Problem, RunError
from dapeng.core.files import atomic_folder

MAX_MEMBERS = 10_000
MAX_RATIO = 200
FREE_BYTES = 100_000_000
"""Archives that unpack to less than this are not asked for their ratio."""

MAX_HEADER = 100_000_000
"""Bytes of a safetensors header; the format's own limit."""

DTYPE_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
}


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    trouble: str = ""


def unpack(archive: str | Path, to: str | Path) -> Path:
    """Unpack a zip or tar of a run folder into the new folder `to`. Returns the folder that holds the run.

    Raises RunError that lists the members that lead elsewhere, are links or devices, or are far larger than the archive.
    """
    archive, to = Path(archive), Path(to)
    if to.exists():
        raise RunError(f"{to} exists already")
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, to)
        elif tarfile.is_tarfile(archive):
            _unpack_tar(archive, to)
        else:
            raise RunError(f"{archive} is neither a zip nor a tar archive")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
        raise RunError(f"{archive} can't be unpacked: {error}") from None
    except FileNotFoundError:
        raise RunError(f"there is no file {archive}") from None
    inside = list(to.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else to


def _unpack_zip(archive: Path, to: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        _refuse(archive, (_zip_member(info) for info in packed.infolist()))
        atomic_folder(to, lambda folder: packed.extractall(folder))


def _zip_member(info: zipfile.ZipInfo) -> _Member:
    mode = info.external_attr >> 16
    special = bool(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and stat.S_IFMT(mode) != 0
    return _Member(info.filename, info.file_size, "a link or a device" if special else "")


def _unpack_tar(archive: Path, to: Path) -> None:
    with tarfile.open(archive) as packed:
        members = packed.getmembers()
        _refuse(
            archive, (_Member(m.name, m.size, "" if m.isreg() or m.isdir() else "a link or a device") for m in members)
        )
        # 3.11.0 to 3.11.3 have no filters; the check above holds there alone
        safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        atomic_folder(to, lambda folder: packed.extractall(folder, members, **safe))


def _refuse(archive: Path, members: Iterable[_Member]) -> None:
    bad, seen, total = [], set(), 0
    for count, member in enumerate(members, 1):
        total += member.size
        trouble = member.trouble or _leads_out(member.name) or ("twice in the archive" if member.name in seen else "")
        seen.add(member.name)
        if trouble:
            bad.append(Problem(str(archive), f"member {member.name!r}: {trouble}"))
        if count > MAX_MEMBERS:
            raise RunError(f"{archive} has more than {MAX_MEMBERS:,} members")
    if bad:
        raise RunError(bad[:20], f"{archive} is not safe to unpack")
    size = archive.stat().st_size
    if total > FREE_BYTES and total > MAX_RATIO * size:
        raise RunError(
            f"{archive} has {size:,} bytes and would unpack to {total:,}: more than {MAX_RATIO} times as many"
        )
    if total > shutil.disk_usage(archive.parent).free:
        raise RunError(f"{archive} would unpack to {total:,} bytes; there is less free space than that")


def _leads_out(name: str) -> str:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive:
        return "an absolute path"
    if ".." in parts:
        return "a path that leads out of the folder"
    return "a name with a NUL or a line break" if any(c in name for c in "\0\n\r") else ""


@dataclass(frozen=True)
class Tensors:
    """The header of a safetensors file: dtype and shape of each tensor, and the metadata texts."""

    tensors: dict[str, tuple[str, tuple[int, ...]]]
    metadata: dict[str, str]


def safetensors_header(path: str | Path) -> Tensors:
    """Read and check the header alone: no tensor is loaded, and no memory is taken that the file does not have.

    Raises RunError where the header is too large, is not JSON, or does not describe the bytes of the file.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as stream:
            head = stream.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                what = f"its header would have {length:,} bytes, the file has {size:,}"
                raise RunError(f"{path} is not a whole safetensors file: {what}")
            header = json.loads(stream.read(length))
    except FileNotFoundError:
        raise RunError(f"{path} is missing") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path} is not a safetensors file: its header is not JSON") from None
    return _checked(path, header, size - 8 - length)


def _checked(path: Path, header: Any, data_bytes: int) -> Tensors:
    if not isinstance(header, dict):
        raise RunError(f"{path} is not a safetensors file: its header is not a mapping")
    metadata = header.pop("__metadata__", {})
    tensors, spans = {}, []
    for name, entry in header.items():
        try:
            dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            bits = DTYPE_BITS[dtype]
            for axis in shape:
                if not isinstance(axis, int) or isinstance(axis, bool) or axis < 0:
                    raise ValueError
                bits *= axis
            if not (isinstance(start, int) and isinstance(end, int) and 0 <= start <= end) or (end - start) * 8 != bits:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise RunError(f"{path}: tensor {name!r} is described wrongly in the header") from None
        tensors[name] = (dtype, shape)
        spans.append((start, end))
    end_of_last = 0
    for start, end in sorted(spans):
        if start != end_of_last:
            raise RunError(f"{path}: the tensors overlap or leave gaps")
        end_of_last = end
    if end_of_last != data_bytes:
        raise RunError(f"{path} is cut off or has bytes left over: {data_bytes:,} of {end_of_last:,}")
    good = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    return Tensors(tensors, metadata if good else {})
