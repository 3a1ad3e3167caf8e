"""A folder of files: pictures, or sounds, in folders that are named after their labels, perhaps below train/ and test/."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.errors import DataError, Problem
from dapeng.core.files import as_text, from_text
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data.sources.base import Reader
from dapeng.data.table import PART_NAMES, Frame, Source

PICTURES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".gif",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
    ".pgm",
    ".ppm",
    ".pnm",
    ".ico",
    ".avif",
    ".jp2",
)
SOUNDS = (
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".au",
)
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
MEDIA = {"video": (VIDEOS, "videos"), "image": (PICTURES, "pictures"), "audio": (SOUNDS, "sounds")}
"""Endings of files by the column that they make, where they are at least half of a folder; and what they are, in words."""
JUNK = {"thumbs.db", "desktop.ini", "__macosx"}


@sources
class FolderOptions(Reader):
    """A folder of files; the folder that a file lies in is its label; train/, validation/ and test/ are the parts."""

    type: Literal["folder"] = "folder"
    general: ClassVar[bool] = True

    @classmethod
    def matches(cls, address: object) -> bool:
        return isinstance(address, (str, Path)) and Path(address).is_dir()

    def open(self, address: object, data: Data) -> Source:
        return FolderSource(Path(str(address)), data)

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        root = Path(str(address))
        found = {
            PART_NAMES[f.name.lower()]: Path(f.path)
            for f in _listing(root)
            if f.is_dir() and f.name.lower() in PART_NAMES
        }
        if "train" not in found:
            return {"all": self.open(root, data)}
        parts: dict[str, Source] = {part: FolderSource(folder, data) for part, folder in sorted(found.items())}
        labelled = {part for part, source in parts.items() if "label" in source.names}
        if labelled and labelled != set(parts):
            without = ", ".join(str(found[p]) for p in parts if p not in labelled)
            raise DataError(
                Problem(
                    without,
                    "holds files without a folder for their label, unlike the other parts",
                    "sort them into folders",
                )
            )
        return parts


class FolderSource(Frame):
    """The paths of a folder's files, in order, and their labels."""

    def __init__(self, root: Path, data: Data):
        self.root = root
        if not root.is_dir():
            raise DataError(Problem(str(root), "no such folder", "check the path"))
        relative, unnamed = _walk(root, data)
        self.paths, kept = "file", relative
        for column, (endings, _) in MEDIA.items():
            found = [p for p in relative if p.lower().endswith(endings)]
            if relative and len(found) * 2 >= len(relative):
                self.paths, kept = column, found
                break
        if not kept:
            raise DataError(Problem(str(root), "the folder holds no files", "check the path"))
        columns = {self.paths: pa.array(kept, pa.string())}
        labels = [p.split("/")[0] if "/" in p else None for p in kept]
        if any(label is not None for label in labels):
            columns["label"] = pa.array(labels, pa.string())
        super().__init__(pa.table(columns), root.name, root)
        self._say(len(relative) - len(kept), labels, unnamed)

    def _say(self, others: int, labels: list[str | None], unnamed: list[bytes]) -> None:
        if others:
            self.note("info", self.name, f"{others} files that aren't {MEDIA[self.paths][1]} are not read", others)
        loose = labels.count(None)
        if 0 < loose < len(labels):
            self.note("warning", self.name, f"{loose} files lie in no label folder: their label is missing", loose)
        for name in unnamed[:100]:
            self.note(
                "repair", self.name, f"the file name {name!r} is not valid UTF-8: called {as_text(os.fsdecode(name))!r}"
            )
        if len(unnamed) > 100:
            self.note(
                "repair",
                self.name,
                f"{len(unnamed) - 100} more files whose names aren't valid UTF-8",
                len(unnamed) - 100,
            )

    def fingerprint(self) -> str:
        """Of names, sizes and times of change: reading millions of files for a hash would take longer than training."""
        digest = hashlib.sha256()
        for path in self.table.column(0).to_pylist():
            stat = os.stat(from_text(self.root / path))
            digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        return digest.hexdigest()

    def where(self, row: int) -> str:
        return str(self.root / self.table.column(0)[row].as_py())


def _listing(root: Path) -> list[os.DirEntry[str]]:
    with os.scandir(root) as entries:
        kept = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in JUNK]
    return sorted(kept, key=lambda e: e.name)


def _walk(root: Path, data: Data) -> tuple[list[str], list[bytes]]:
    """Paths below the folder, with "/" between their parts, in order; and names that aren't valid text, which are among the paths with %XX for their bytes."""
    inside = root.resolve()
    paths: list[str] = []
    unnamed: list[bytes] = []
    waiting = [("", root)]
    seen = {inside}
    while waiting:
        prefix, folder = waiting.pop()
        for entry in _listing(folder):
            path = f"{prefix}{entry.name}"
            if entry.is_symlink() and not _stays_inside(Path(entry.path), inside, data):
                continue
            if entry.is_dir():
                real = Path(entry.path).resolve()
                if real not in seen or not entry.is_symlink():  # a link back up would be walked for ever
                    seen.add(real)
                    waiting.append((path + "/", Path(entry.path)))
            elif entry.is_file():
                if path.isascii() or _is_text(path):
                    paths.append(path)
                else:
                    unnamed.append(os.fsencode(path))
                    paths.append(as_text(path))
    return sorted(paths), unnamed


def _stays_inside(link: Path, root: Path, data: Data) -> bool:
    target = link.resolve()
    if not target.exists():
        raise DataError(Problem(str(link), f"is a link to {str(target)!r}, which isn't there", "remove the link"))
    if data.allow_symlinks or target.is_relative_to(root):
        return True
    raise DataError(
        Problem(
            str(link),
            f"is a link out of the data folder, to {str(target)!r}",
            "copy the file, or set data.allow_symlinks=true",
        )
    )


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
