"""MANIFEST.json: the SHA-256 and the size of every file of a folder, so that a damaged file is found before it is used.

A file and its manifest can't be replaced in one step. So whoever replaces a file says first, in the manifest, what it will be
and what it was ("before"): a process may die at any moment, and what it leaves is one of the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dapeng.core.errors import RunError
from dapeng.core.files import read_json, sha256, write_bytes, write_json

NAME = "MANIFEST.json"
LOADS_CODE = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".dill", ".npz", ".bin")
"""Formats that are unpickled, or can be, when they are read. None of them is ever loaded. (.npy: where it holds objects.)"""


def entries(folder: Path, skip: Callable[[str], bool] = lambda name: False) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file below, by its name with forward slashes. Temporary and hidden files are left out."""
    out = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in name.split("/"))
        if file.is_file() and name != NAME and not hidden and not skip(name):
            out[name] = entry(inside(folder, name))
    return out


def entry(file: Path) -> dict[str, Any]:
    return {"sha256": sha256(file), "size": file.stat().st_size}


def write(folder: Path, facts: dict[str, Any], skip: Callable[[str], bool] = lambda name: False) -> None:
    write_json(folder / NAME, {**facts, "files": entries(folder, skip)})


def replace(folder: Path, name: str, data: bytes) -> None:
    """Write one file and its entry, so that the folder verifies at every moment; the file alone where there is no manifest yet."""
    file = folder / name
    if not (folder / NAME).exists():
        write_bytes(file, data)
        return
    manifest = read(folder)
    new = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    manifest["files"][name] = {**new, "before": _now(file, manifest["files"].get(name))}
    write_json(folder / NAME, manifest)
    write_bytes(file, data)
    manifest["files"][name] = new
    write_json(folder / NAME, manifest)


def _now(file: Path, known: dict[str, Any] | None) -> dict[str, Any] | None:
    """The entry of what lies there; None where nothing does. Where it is damaged, the entry of what should."""
    if not file.is_file():
        return None
    found = entry(file)
    if known is None or found in (_plain(known), known.get("before")):
        return found
    return _plain(known)


def _plain(known: dict[str, Any]) -> dict[str, Any]:
    return {"sha256": known["sha256"], "size": known["size"]}


def withdraw(folder: Path, place: str) -> None:
    """Say nothing of a file, or of all below a folder, that others are going to write; nothing to do without a manifest."""
    _entered(folder, place, dict)


def enter(folder: Path, place: str) -> None:
    """Take in a file, or all below a folder, as it lies there now; nothing to do without a manifest."""
    _entered(folder, place, lambda: entries(folder, lambda name: not _below(name, place)))


def _entered(folder: Path, place: str, found: Callable[[], dict[str, dict[str, Any]]]) -> None:
    if (folder / NAME).exists():
        manifest = read(folder)
        kept = {name: known for name, known in manifest["files"].items() if not _below(name, place)}
        write_json(folder / NAME, {**manifest, "files": {**kept, **found()}})


def _below(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}/")


def read(folder: Path) -> dict[str, Any]:
    """The manifest. Raises RunError where it is missing or is none."""
    manifest = read_json(folder / NAME)
    files = manifest.get("files") if isinstance(manifest, dict) else None
    good = isinstance(files, dict) and all(_is_entry(e) and _is_before(e.get("before")) for e in files.values())
    if not good:
        raise RunError(f"{folder / NAME} is not a manifest")
    return manifest


def _is_entry(known: Any) -> bool:
    return isinstance(known, dict) and isinstance(known.get("sha256"), str) and isinstance(known.get("size"), int)


def _is_before(known: Any) -> bool:
    return known is None or _is_entry(known)


def verify(folder: Path, facts: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Compare every file with the manifest. Raises RunError that names the files that are missing or differ.

    facts: what the manifest must say beside the files, as it was given to `write`.
    """
    manifest = read(folder)
    if {k: v for k, v in manifest.items() if k != "files"} != dict(facts):
        raise RunError(f"{folder / NAME} is damaged or was changed", hint="copy the folder again, or take another run")
    wrong = _wrong(folder, manifest)
    while wrong and (newer := read(folder)) != manifest:  # another process has written since
        manifest, wrong = newer, _wrong(folder, newer)
    if wrong:
        more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
        hint = "copy the folder again, or take another run"
        raise RunError(f"{folder}: " + "; ".join(wrong[:5]) + more, hint=hint)


def _wrong(folder: Path, manifest: dict[str, Any]) -> list[str]:
    return [why for name, known in manifest["files"].items() if (why := _differs(inside(folder, name), name, known))]


def _differs(file: Path, name: str, known: dict[str, Any]) -> str | None:
    """What is wrong with a file; None where it is as its entry says, or as it was before a write that did not happen."""
    if not file.is_file():
        return None if "before" in known and known["before"] is None else f"{name} is missing"
    size, before = file.stat().st_size, known.get("before")
    if size != known["size"] and (before is None or size != before["size"]):
        return f"{name} has {size:,} bytes, not {known['size']:,}: it is cut off or was changed"
    if entry(file) not in (_plain(known), before):
        return f"{name} is damaged or was changed (its SHA-256 differs from {NAME})"
    return None


def inside(folder: Path, name: str) -> Path:
    """The path of a file of the folder. Raises RunError for a name or a link that leads out of it."""
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise RunError(
            f"{file} leads out of the run folder", hint="a run folder holds its own files, no links to others"
        )
    return file


def refuse_pickle(path: Path) -> None:
    """Raise RunError for a file that could run code when it is read."""
    if path.suffix.lower() in LOADS_CODE or (path.suffix.lower() == ".npy" and _holds_objects(path)):
        what = f"{path} is never loaded: reading a {path.suffix} file can run code"
        raise RunError(what, hint="weights are read from .safetensors, everything else from JSON")


def _holds_objects(path: Path) -> bool:
    """True if the header of an .npy file names Python objects as its dtype; those are pickled."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(4096)
    except OSError:
        return False
    return b"|O" in head[:4096].partition(b"}")[0] or b"'O'" in head.partition(b"}")[0]
