"""Pictures with a file of XML beside each, in the words of Pascal VOC: as tools for drawing boxes leave them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import sources
from dapeng.core.spec import Data
from dapeng.data.sources.annotated import PICTURES, Annotated, listed, parsed_xml
from dapeng.data.sources.base import Reader
from dapeng.data.sources.voc import VocOptions, boxes_in
from dapeng.data.table import PART_NAMES, Concat, Source

ROOT = b"<annotation"
HEAD = 4096
LOOKED_AT = 3


@sources
class VocPairsOptions(Reader):
    """A folder of pictures with a file of XML beside each: rows are those pictures, columns `image` and `boxes`; folders in it that are
    called train, val and test are its parts.

    Example: `data: {path: ./labelled, format: voc_pairs}`
    """

    type: Literal["voc_pairs"] = "voc_pairs"
    general: ClassVar[bool] = False

    @classmethod
    def matches(cls, address: object) -> bool:
        if not isinstance(address, (str, Path)) or not Path(address).is_dir() or VocOptions.matches(address):
            return False
        pairs = _pairs(Path(address))
        return bool(pairs) and all(_is_annotation(xml) for found in pairs.values() for _, xml in found[:LOOKED_AT])

    def open(self, address: object, data: Data) -> Source:
        parts = self.parts(address, data)
        return next(iter(parts.values())) if len(parts) == 1 else Concat(list(parts.values()), Path(str(address)).name)

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        folder = Path(str(address))
        pairs = _pairs(folder)
        if not pairs:
            raise DataError(Problem(folder.name, "holds no picture with a file of XML beside it", "set data.format"))
        alone = pairs.pop("all", []) if "train" in pairs else []
        if "train" not in pairs:
            pairs = {"all": [pair for found in pairs.values() for pair in found]}
        parts = {p: _opened(folder, folder.name if p == "all" else f"{folder.name} {p}", f) for p, f in pairs.items()}
        if alone:
            what = f"{len(alone):,} pictures beside the folders of the parts are left out"
            parts["train"].note("warning", folder.name, what, len(alone))
        return dict(parts)


def _pairs(folder: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Pictures and the annotations beside them, by part; "all" for those that lie in the folder itself."""
    places = [(folder, "all")]
    places += [(p, PART_NAMES[p.name.lower()]) for p in listed(folder) if p.name.lower() in PART_NAMES and p.is_dir()]
    out: dict[str, list[tuple[Path, Path]]] = {}
    for place, part in places:
        files = listed(place)
        pictures: dict[str, Path] = {}
        for file in files:
            if file.suffix.lower() in PICTURES:
                pictures.setdefault(file.stem, file)
        found = [(pictures[f.stem], f) for f in files if f.suffix.lower() == ".xml" and f.stem in pictures]
        if found:
            out.setdefault(part, []).extend(found)
    return out


def _is_annotation(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return ROOT in file.read(HEAD)
    except OSError:
        return False


def _opened(folder: Path, name: str, pairs: list[tuple[Path, Path]]) -> Annotated:
    """The rows of these pairs; how many pictures have no annotation beside them is said."""
    source = Annotated(name, folder, [(p.relative_to(folder).as_posix(), boxes_in(x, parsed_xml(x))) for p, x in pairs])
    places = {picture.parent for picture, _ in pairs}
    without = sum(f.suffix.lower() in PICTURES for place in places for f in listed(place)) - len(pairs)
    if without > 0:
        what = f"{without:,} pictures have no annotation of their own beside them and are left out"
        source.note("warning", name, what, without)
    return source
