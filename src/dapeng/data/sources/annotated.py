"""Pictures with boxes, in the layouts of COCO, Pascal VOC and YOLO: one row a picture, its boxes as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.data.table import Frame

IMAGE, BOXES, MASK = "image", "boxes", "mask"
LARGEST_XML = 4_000_000
"""Bytes of an annotation of one picture."""
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


class Annotated(Frame):
    """Paths of pictures below a folder, and their boxes. masks: outlines of each, as JSON, where there are any."""

    def __init__(
        self,
        name: str,
        base: Path,
        rows: Iterable[tuple[str, list[dict[str, Any]]]],
        masks: list[str | None] | None = None,
    ):
        each = list(rows)
        if not each:
            raise DataError(Problem(name, "lists no pictures", "check how it was written"))
        boxes = [json.dumps(b, ensure_ascii=False) for _, b in each]
        columns = {IMAGE: pa.array([p for p, _ in each], pa.string()), BOXES: pa.array(boxes, pa.string())}
        if masks is not None:
            columns[MASK] = pa.array(masks, pa.string())
        super().__init__(pa.table(columns), name, base)
        self.paths = IMAGE

    def where(self, row: int) -> str:
        return f"{self.name}: {self.table.column(IMAGE)[row].as_py()}"


def listed(folder: Path) -> list[Path]:
    """What lies in a folder, in order, without what is hidden or leads nowhere; nothing where it can't be looked into."""
    try:
        with os.scandir(folder) as entries:  # only a link can lead nowhere: a folder may hold a million pictures
            there = [
                e.path for e in entries if not e.name.startswith(".") and (not e.is_symlink() or os.path.exists(e))
            ]
    except OSError:
        return []
    return [Path(p) for p in sorted(there)]


def refused_class(where: str, number: Any, names: Mapping[int, str]) -> DataError:
    """The error for a class id that has no name."""
    known = ", ".join(f"{k} {v}" for k, v in list(names.items())[:12])
    return DataError(
        Problem(where, f"class id {number} is none of those that are named: {known}", "mend the id, or name it")
    )


def parsed_xml(path: Path) -> ElementTree.Element:
    """The root of an annotation. Files that declare entities are refused: nothing of theirs is expanded."""
    size = path.stat().st_size
    if size > LARGEST_XML:
        raise LimitError(Problem(path.name, f"{size:,} bytes, more than {LARGEST_XML:,} for one picture"))
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError(Problem(path.name, "declares a document type, which an annotation doesn't need", "remove it"))
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(Problem(path.name, f"is not whole XML ({error})", "get it anew")) from None


def pictures_below(folder: Path) -> list[str]:
    """Paths of pictures below a folder, in order, with "/" between their parts."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
    return sorted(p.relative_to(folder).as_posix() for p in found)
