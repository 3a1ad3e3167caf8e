"""MANIFEST.json: the SHA-256 and the size of every file of a folder, so that a damaged file is found before it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dapeng.core.errors import RunError
from dapeng.core.files import read_json, sha256, write_json

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


def update(folder: Path, name: str) -> None:
    """Take in one file that was written after the manifest; nothing to do where there is none yet."""
    if (folder / NAME).exists():
        manifest = read(folder)
        manifest["files"][name] = entry(folder / name)
        write_json(folder / NAME, manifest)


def read(folder: Path) -> dict[str, Any]:
    """The manifest. Raises RunError where it is missing or is none."""
    manifest = read_json(folder / NAME)
    files = manifest.get("files") if isinstance(manifest, dict) else None
    good = isinstance(files, dict) and all(
        isinstance(e, dict) and isinstance(e.get("sha256"), str) and isinstance(e.get("size"), int)
        for e in files.values()
    )
    if not good:
        raise RunError(f"{folder / NAME} is not a manifest")
    return manifest


def verify(folder: Path) -> None:
    """Compare every file with the manifest. Raises RunError that names the files that are missing or differ."""
    wrong = []
    for name, expected in read(folder)["files"].items():
        file = inside(folder, name)
        if not file.is_file():
            wrong.append(f"{name} is missing")
        elif file.stat().st_size != expected["size"]:
            wrong.append(
                f"{name} has {file.stat().st_size:,} bytes, not {expected['size']:,}: it is cut off or was changed"
            )
        elif sha256(file) != expected["sha256"]:
            wrong.append(f"{name} is damaged or was changed (its SHA-256 differs from {NAME})")
    if wrong:
        more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
        hint = "copy the folder again, or take another run"
        raise RunError(f"{folder}: " + "; ".join(wrong[:5]) + more, hint=hint)


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
