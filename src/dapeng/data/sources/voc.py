"""Pascal VOC: a folder with JPEGImages, Annotations (one XML file a picture), and lists of parts in ImageSets/Main; or the files of
XML beside their pictures, as tools for drawing boxes leave them.

Everingham et al.: The Pascal Visual Object Classes Challenge, 2010 (http://host.robots.ox.ac.uk/pascal/VOC/). Corners in pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data.sources.annotated import PARTS, PICTURES, Annotated, parsed_xml
from dapeng.data.sources.base import Reader
from dapeng.data.table import Source

CORNERS = ("xmin", "ymin", "xmax", "ymax")
LISTS = {"train": "train", "val": "validation", "test": "test"}
ROOT = b"<annotation"
HEAD = 4096


@sources
class VocOptions(Reader):
    """A Pascal VOC folder: rows are its pictures, columns `image` and `boxes`; the lists train, val and test are its parts. Or a folder
    of pictures with a file of XML beside each, or such folders called train, val and test.

    Example: `data: ./VOC2012`
    """

    type: Literal["voc"] = "voc"
    general: ClassVar[bool] = False

    @classmethod
    def matches(cls, address: object) -> bool:
        folder = Path(str(address)) if isinstance(address, (str, Path)) else Path("/nowhere")
        return ((folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir()) or bool(_beside(folder))

    def open(self, address: object, data: Data) -> Source:
        folder = Path(str(address))
        beside = _beside(folder)
        if beside:
            return _of_pairs(folder, folder.name, [n for names in beside.values() for n in names])
        return read(folder, sorted(p.stem for p in (folder / "Annotations").glob("*.xml")), folder.name)

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        folder = Path(str(address))
        found: dict[str, Source] = {}
        beside = _beside(folder)
        if "train" in beside:
            return {part: _of_pairs(folder, f"{folder.name} {part}", names) for part, names in beside.items()}
        for listed, part in LISTS.items():
            path = folder / "ImageSets" / "Main" / f"{listed}.txt"
            if path.is_file():
                names = [line.split()[0] for line in path.read_text("utf-8").splitlines() if line.strip()]
                found[part] = read(folder, names, f"{folder.name} {listed}")
        return found if "train" in found else {"all": self.open(folder, data)}


def _beside(folder: Path) -> dict[str, list[str]]:
    """Paths without endings of pictures that have an annotation beside them, by part; none where files of XML are something else."""
    out: dict[str, list[str]] = {}
    for place, part in {"": "all", **PARTS}.items():
        found = sorted((folder / place).glob("*.xml")) if (folder / place).is_dir() else []
        pictures = {p.stem for p in (folder / place).iterdir() if p.suffix.lower() in PICTURES} if found else set()
        if not pictures or not all(ROOT in p.open("rb").read(HEAD) for p in found[:3]):
            continue
        out[part] = [(Path(place) / p.stem).as_posix() for p in found if p.stem in pictures]
    return {p: n for p, n in out.items() if n}


def _of_pairs(folder: Path, name: str, names: list[str]) -> Annotated:
    """Pictures that have an annotation beside them; how many have none is said."""
    source = Annotated(name, folder, _rows(folder, names, "."))
    places = {(folder / n).parent for n in names}
    without = sum(p.suffix.lower() in PICTURES for f in places for p in f.iterdir()) - len(names)
    if without > 0:
        source.note("warning", name, f"{without:,} pictures have no annotation beside them and are left out", without)
    return source


def read(folder: Path, names: list[str], name: str) -> Annotated:
    """The pictures of these names, without endings."""
    return Annotated(name, folder, _rows(folder, names, "JPEGImages"))


def _rows(folder: Path, names: list[str], pictures: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of pictures in a folder of their own, with annotations in another; or "." for both side by side."""
    return [_row(folder, n, pictures) for n in names]


def _row(folder: Path, name: str, pictures: str) -> tuple[str, list[dict[str, Any]]]:
    path = folder / ("Annotations" if pictures != "." else ".") / f"{name}.xml"
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise DataError(
            Problem(str(path), "no such annotation, and a list names it", "mend the list in ImageSets/Main")
        )
    root = parsed_xml(path)
    named = Path(root.findtext("filename") or f"{name}.jpg").name
    own = [f"{name}{end}" for end in (Path(named).suffix, *PICTURES)]
    place = folder / pictures
    picture = next((f for f in (*own[:1], named, *own[1:]) if (place / f).is_file()), named)
    return (Path(pictures) / picture).as_posix(), [
        _box(path, n, thing) for n, thing in enumerate(root.iter("object"), 1)
    ]


def _box(path: Path, number: int, thing: Any) -> dict[str, Any]:
    try:
        corners = [float(thing.findtext(f"bndbox/{c}", "")) for c in CORNERS]
    except ValueError:
        raise DataError(Problem(path.name, f"object {number} has no bndbox of four numbers")) from None
    return {"label": thing.findtext("name") or "", **dict(zip(("x1", "y1", "x2", "y2"), corners))}
