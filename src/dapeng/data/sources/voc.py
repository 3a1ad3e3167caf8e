"""Pascal VOC: a folder with JPEGImages, Annotations (one XML file a picture), and lists of parts in ImageSets/Main.

Everingham et al.: The Pascal Visual Object Classes Challenge, 2010 (http://host.robots.ox.ac.uk/pascal/VOC/). Corners in pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data.sources.annotated import Annotated, parsed_xml
from dapeng.data.sources.base import Reader
from dapeng.data.table import Source

CORNERS = ("xmin", "ymin", "xmax", "ymax")
LISTS = {"train": "train", "val": "validation", "test": "test"}


@sources
class VocOptions(Reader):
    """A Pascal VOC folder: rows are its pictures, columns `image` and `boxes`; the lists train, val and test are its parts.

    Example: `data: ./VOC2012`
    """

    type: Literal["voc"] = "voc"
    general: ClassVar[bool] = False

    @classmethod
    def matches(cls, address: object) -> bool:
        folder = Path(str(address)) if isinstance(address, (str, Path)) else Path("/nowhere")
        return (folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir()

    def open(self, address: object, data: Data) -> Source:
        folder = Path(str(address))
        return read(folder, sorted(p.stem for p in (folder / "Annotations").glob("*.xml")), folder.name)

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        folder = Path(str(address))
        found: dict[str, Source] = {}
        for listed, part in LISTS.items():
            path = folder / "ImageSets" / "Main" / f"{listed}.txt"
            if path.is_file():
                names = [line.split()[0] for line in path.read_text("utf-8").splitlines() if line.strip()]
                found[part] = read(folder, names, f"{folder.name} {listed}")
        return found if "train" in found else {"all": self.open(folder, data)}


def read(folder: Path, names: list[str], name: str) -> Annotated:
    """The pictures of these names, without endings."""
    return Annotated(name, folder, [_row(folder, n) for n in names])


def _row(folder: Path, name: str) -> tuple[str, list[dict[str, Any]]]:
    path = folder / "Annotations" / f"{name}.xml"
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise DataError(
            Problem(str(path), "no such annotation, and a list names it", "mend the list in ImageSets/Main")
        )
    root = parsed_xml(path)
    file = Path(root.findtext("filename") or f"{name}.jpg").name
    picture = next((f for f in (f"{name}{Path(file).suffix}", file) if (folder / "JPEGImages" / f).is_file()), file)
    return f"JPEGImages/{picture}", boxes_in(path, root)


def boxes_in(path: Path, root: Any) -> list[dict[str, Any]]:
    """The boxes of an annotation, whose root this is."""
    return [_box(path, n, thing) for n, thing in enumerate(root.iter("object"), 1)]


def _box(path: Path, number: int, thing: Any) -> dict[str, Any]:
    try:
        corners = [float(thing.findtext(f"bndbox/{c}", "")) for c in CORNERS]
    except ValueError:
        raise DataError(Problem(path.name, f"object {number} has no bndbox of four numbers")) from None
    return {"label": thing.findtext("name") or "", **dict(zip(("x1", "y1", "x2", "y2"), corners))}
