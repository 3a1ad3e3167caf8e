"""YOLO: folders images and labels, a text file of "class x y width height" a picture in shares of its size, and names in a YAML file.

As Redmon's darknet has it (https://pjreddie.com/darknet/yolo/), and its successors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from dapeng.columns.pictures import Unreadable, open_picture
from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.core.yaml12 import YamlError, decode
from dapeng.core.yaml12 import read as read_yaml
from dapeng.data.sources.annotated import Annotated, pictures_below, refused_class
from dapeng.data.sources.base import Reader
from dapeng.data.table import PART_NAMES, Source

NAMES = ("data.yaml", "dataset.yaml", "data.yml")
TURNED = (5, 6, 7, 8)
"""Orientations of a photograph that change width for height."""


@sources
class YoloOptions(Reader):
    """A YOLO folder: rows are its pictures, columns `image` and `boxes`; images/train, images/val and images/test are its parts.

    A picture without a text file has no boxes.
    Example: `data: ./my-boxes`
    """

    type: Literal["yolo"] = "yolo"
    general: ClassVar[bool] = False

    @classmethod
    def matches(cls, address: object) -> bool:
        folder = Path(str(address)) if isinstance(address, (str, Path)) else Path("/nowhere")
        return bool(_layout(folder))

    def open(self, address: object, data: Data) -> Source:
        folder = Path(str(address))
        names = class_names(folder)
        rows = [r for images, labels in _layout(folder).values() for r in _rows(folder, images, labels, names)]
        return Annotated(folder.name, folder, rows)

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        folder = Path(str(address))
        found = _layout(folder)
        if "train" not in found:
            return {"all": self.open(folder, data)}
        names = class_names(folder)
        return {part: Annotated(f"{folder.name} {part}", folder, _rows(folder, *found[part], names)) for part in found}


def _layout(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Folders of pictures and of labels by part: images/train and labels/train, or train/images and train/labels; or both as "all"."""
    out = {}
    for name, part in PART_NAMES.items():
        for images, labels in (
            (folder / "images" / name, folder / "labels" / name),
            (folder / name / "images", folder / name / "labels"),
        ):
            if images.is_dir() and labels.is_dir():
                out[part] = (images, labels)
    whole = (folder / "images", folder / "labels")
    return out or ({"all": whole} if all(f.is_dir() for f in whole) else {})


def class_names(folder: Path) -> dict[int, str]:
    """Names by class id, out of data.yaml or classes.txt; none where neither is there."""
    path = next((folder / n for n in NAMES if (folder / n).is_file()), None)
    if path is None:
        listed = folder / "classes.txt"
        return dict(enumerate(listed.read_text("utf-8").split("\n")[:10_000])) if listed.is_file() else {}
    try:
        found = read_yaml(decode(path.read_bytes())).value
    except YamlError as error:
        raise DataError(Problem(str(path), f"can't be read: {error}")) from None
    names = found.get("names") if isinstance(found, dict) else None
    if isinstance(names, list):
        return {i: str(n) for i, n in enumerate(names)}
    return {int(k): str(v) for k, v in names.items()} if isinstance(names, dict) else {}


def _rows(root: Path, images: Path, labels: Path, names: dict[int, str]) -> list[tuple[str, list[dict[str, Any]]]]:
    out = []
    for picture in pictures_below(images):
        path = (labels / picture).with_suffix(".txt")
        boxes = _boxes(images / picture, path, names) if path.is_file() else []
        out.append(((images / picture).relative_to(root).as_posix(), boxes))
    return out


def _boxes(picture: Path, path: Path, names: dict[int, str]) -> list[dict[str, Any]]:
    lines = [(n, line.split()) for n, line in enumerate(path.read_text("utf-8").splitlines(), 1) if line.strip()]
    if not lines:
        return []
    wide, high = _size(picture)
    out = []
    for number, words in lines:
        where = f"{path.name}:{number}"
        try:
            code, x, y, width, height = int(words[0]), *(float(w) for w in words[1:5])
        except (ValueError, IndexError):
            raise DataError(Problem(where, "is not a class and four numbers", "class x y width height")) from None
        if names and code not in names:
            raise refused_class(where, code, names)
        left, top = (x - width / 2) * wide, (y - height / 2) * high
        out.append(
            {"label": names.get(code, str(code)), "x": left, "y": top, "width": width * wide, "height": height * high}
        )
    return out


def _size(picture: Path) -> tuple[int, int]:
    """Width and height of a picture as it is shown, out of its header; a square of 1 where it can't be read, which its cell will say."""
    try:
        opened = open_picture(str(picture), None)
    except Unreadable:
        return 1, 1
    wide, high = opened.size
    return (high, wide) if opened.getexif().get(0x0112, 1) in TURNED else (wide, high)
