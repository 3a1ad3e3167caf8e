"""COCO: one JSON file with images, annotations and categories.

Lin et al.: Microsoft COCO, 2014 (https://cocodataset.org/#format-data). Boxes are x, y, width, height in pixels.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson

from dapeng.core.errors import DataError, LimitError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data import files
from dapeng.data.sources.annotated import Annotated, listed, refused_class
from dapeng.data.sources.base import Reader, ending
from dapeng.data.table import PART_NAMES, Concat, Source

KEYS = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
OBJECTS = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[\s*[{\]]')
HEAD = 1 << 16
LARGEST = 2 << 30
MOST_FILES = 20
"""More files of JSON than these in a folder are something else."""


@sources
class CocoOptions(Reader):
    """A COCO file of boxes: rows are its pictures, columns `image` and `boxes`, and `mask` where it has outlines. Pictures are looked for
    beside it, and in images/. Or a folder with one such file, or one for each part: annotations/instances_train.json, train/anything.json.

    Example: `data: {train: instances_train.json, test: instances_val.json}`
    """

    type: Literal["coco"] = "coco"
    general: ClassVar[bool] = False

    @classmethod
    def matches(cls, address: object) -> bool:
        if not isinstance(address, (str, Path)):
            return False
        path = Path(str(address))
        return (
            bool(_in_folder(path)) if path.is_dir() else ending(address, ".json") and path.is_file() and _is_coco(path)
        )

    def open(self, address: object, data: Data) -> Source:
        path = Path(str(address))
        if not path.is_dir():
            return opened(path, data)
        parts = self.parts(address, data)
        return parts["all"] if "all" in parts else Concat(list(parts.values()), path.name)

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        path = Path(str(address))
        if not path.is_dir():
            return {"all": opened(path, data)}
        found = _in_folder(path)
        if not found:
            what = "holds no COCO file, or several that are not one for each part"
            raise DataError(Problem(path.name, what, "name the file, or data.train and data.test"))
        return {part: opened(file, data) for part, file in found.items()}


def _is_coco(path: Path) -> bool:
    with open(path, "rb") as file:
        return _begins(file.read(HEAD))


def _begins(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and KEYS.search(head) is not None


def _is_plainly_coco(path: Path) -> bool:
    """The same of a file that nobody named: lists of pictures and of more must stand at its ends. Unreadable ones are not."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
            file.seek(max(0, path.stat().st_size - HEAD))
            ends = head + file.read(HEAD)
    except OSError:
        return False
    known = {m.group(1) for m in OBJECTS.finditer(ends)}
    return _begins(head) and b"images" in known and len(known) > 1 and b'"file_name"' in ends


def _in_folder(folder: Path) -> dict[str, Path]:
    """The files of a folder by part; none where they are not plainly one, or one for each part."""
    below = [folder, *(f for f in listed(folder) if f.name.lower() in (*PART_NAMES, "annotations") and f.is_dir())]
    found = [p for f in below for p in listed(f) if p.suffix.lower() == ".json" and p.is_file()]
    if not 0 < len(found) <= MOST_FILES:
        return {}
    boxes = [p for p in found if p.stem.startswith("instances_")] or found
    boxes = [p for p in boxes if _is_plainly_coco(p)]
    if len(boxes) == 1:
        return {"all": boxes[0]}
    parts = [_part_of(p, folder) for p in boxes]
    return dict(zip(parts, boxes)) if "train" in parts and "" not in parts and len({*parts}) == len(parts) else {}


def _part_of(path: Path, folder: Path) -> str:
    """The part that a file's name or its folder's says; "" for none."""
    words = {*re.findall(r"[a-z]+", path.stem.lower()), path.parent.name.lower() if path.parent != folder else ""}
    found = {PART_NAMES[w] for w in words if w in PART_NAMES}
    return found.pop() if len(found) == 1 else ""


def opened(path: Path, data: Data) -> Annotated:
    """The pictures of a file, in its order."""
    if path.stat().st_size > LARGEST:
        raise LimitError(Problem(path.name, f"{path.stat().st_size:,} bytes, more than {LARGEST:,}"))
    with files.open_bytes(path, data.limits) as file:
        try:
            found = orjson.loads(file.read())
        except orjson.JSONDecodeError as error:
            raise DataError(Problem(f"{path.name}:{error.lineno}", f"is not whole JSON ({error.msg})")) from None
    if not isinstance(found, dict) or not all(isinstance(found.get(k), list) for k in ("images", "annotations")):
        raise DataError(Problem(path.name, "is no COCO file: images and annotations must be lists", "set data.format"))
    names = {c["id"]: str(c["name"]) for c in found.get("categories", [])}
    boxes, crowds = _boxes(path, found, names)
    rows = [(str(i["file_name"]), boxes.get(i["id"], [])) for i in found["images"]]
    masks = _masks(path, found, names)
    source = Annotated(path.name, _folder(path, rows[0][0] if rows else ""), rows, masks)
    if crowds:
        what = f"{crowds:,} boxes around crowds are left out"
        what += "; their pixels are neither learnt nor judged in masks" if masks is not None else ""
        source.note("warning", path.name, what, crowds)
    return source


def _masks(path: Path, found: dict[str, Any], names: dict[int, str]) -> list[str | None] | None:
    """Outlines of each picture as `dapeng.columns.segments` reads them; none of a file, or of a picture that has things without them.

    Pixels have the class id of what they show; one more where there is a class 0, since 0 is what nothing covers.
    """
    if not any(a.get("segmentation") for a in found["annotations"]):
        return None
    if not all(type(n) is int and n >= 0 for n in names):
        raise DataError(
            Problem(path.name, "class ids that are no whole numbers, beside outlines", "number the categories")
        )
    more = int(0 in names)
    each: dict[Any, list[dict[str, Any]] | None] = defaultdict(list)
    for one in found["annotations"]:
        place, crowd = one.get("segmentation"), bool(one.get("iscrowd"))
        what = {"crowd": True} if crowd else {"label": names[one["category_id"]], "value": one["category_id"] + more}
        segments = each[one["image_id"]]
        if not place and not crowd:
            each[one["image_id"]] = None
        elif place and segments is not None:
            segments.append(
                {**what, **({"counts": place.get("counts")} if isinstance(place, dict) else {"polygons": place})}
            )
    out: list[str | None] = []
    for image in found["images"]:
        size = [image.get("height"), image.get("width")]
        if not all(isinstance(s, int) for s in size):
            where = f"{path.name}, image {image['id']}"
            raise DataError(Problem(where, "has outlines, and no height and width", "add them to the image"))
        segments = each[image["id"]]
        out.append(None if segments is None else orjson.dumps({"size": size, "segments": segments}).decode())
    return out


def _boxes(path: Path, found: dict[str, Any], names: dict[int, str]) -> tuple[dict[Any, list[dict[str, Any]]], int]:
    """Boxes by picture, and how many are of crowds."""
    known = {i["id"] for i in found["images"]}
    boxes: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    crowds = 0
    for number, one in enumerate(found["annotations"]):
        where = f"{path.name}, annotation {one.get('id', number)}"
        if one.get("image_id") not in known:
            raise DataError(Problem(where, f"there is no picture with the id {one.get('image_id')}"))
        if one.get("category_id") not in names:
            raise refused_class(where, one.get("category_id"), names)
        if one.get("iscrowd"):
            crowds += 1
            continue
        place = one.get("bbox")
        if not isinstance(place, list) or len(place) != 4:
            raise DataError(Problem(where, "bbox is not a list of x, y, width, height"))
        values = dict(zip(("x", "y", "width", "height"), place))
        boxes[one["image_id"]].append({"label": names[one["category_id"]], **values})
    return boxes, crowds


def _folder(path: Path, first: str) -> Path:
    """The folder that the pictures lie in: beside the file, or where they usually are."""
    stem = path.stem.removeprefix("instances_")
    for folder in (
        path.parent,
        path.parent / "images",
        path.parent.parent,
        path.parent.parent / "images",
        path.parent.parent / stem,
    ):
        if first and (folder / first).is_file():
            return folder
    return path.parent
