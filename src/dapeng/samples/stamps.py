"""Pictures of a drawing program, with captions."""

from __future__ import annotations

import hashlib
import re
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part
from dapeng.samples.find import members
from dapeng.samples.stamps_spoken import StampsSpoken

NAME = re.compile(r"stamps/(.+)\.(png|txt)$")


@samples
class Stamps(Sample):
    """785 pictures with an English caption, of the stamps of Tux Paint; those of one folder that have one caption are on one side, 80/10/10 by a hash."""

    type: Literal["stamps"] = "stamps"
    licence: ClassVar = StampsSpoken.licence
    source: ClassVar = StampsSpoken.source
    rows: ClassVar = 785
    size: ClassVar = StampsSpoken.size
    columns: ClassVar = ("picture", "caption", "pair", "kind", "stamp")
    target: ClassVar = "caption"
    origins: ClassVar = StampsSpoken.origins

    def load(self) -> dict[str, Source]:
        pictures: dict[str, bytes] = {}
        captions: dict[str, str] = {}
        for path, content in members(self.find()):
            name = NAME.search(path)
            if name is None:
                continue
            if name[2] == "png":
                pictures[name[1]] = content
            else:
                captions[name[1]] = content.decode("utf-8").splitlines()[0].strip()  # the others are translations
        rows: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for stamp in sorted(pictures.keys() & captions.keys()):
            rows[_side(f"{stamp.rpartition('/')[0]} {captions[stamp]}")].append(stamp)
        return {side: part(self.type, side, _columns(stamps, pictures, captions)) for side, stamps in rows.items()}


def _columns(stamps: list[str], pictures: dict[str, bytes], captions: dict[str, str]) -> dict[str, pa.Array]:
    texts = [captions[s] for s in stamps]
    return {
        "picture": pa.array([pictures[s] for s in stamps], pa.binary()),
        "caption": pa.array(texts),
        "pair": pa.array([t.lower().rstrip(".") for t in texts]),  # two pictures of a flower both go with "A flower."
        "kind": pa.array([s.partition("/")[0] for s in stamps]),
        "stamp": pa.array(stamps),
    }


def _side(group: str) -> str:
    place = hashlib.sha256(group.encode()).digest()[0]
    return "train" if place < 205 else "validation" if place < 230 else "test"
