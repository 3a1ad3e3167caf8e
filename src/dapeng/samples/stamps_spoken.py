"""What a drawing program says about its stamps, in nine languages."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part, side_of
from dapeng.samples.find import members

NAME = re.compile(r"stamps/(.+)_desc_([a-z]{2})\.ogg$")
LANGUAGES = ("be", "bg", "ca", "da", "el", "es", "fr", "ro", "ru")
"""Those with more than 300 recordings."""


@samples
class StampsSpoken(Sample):
    """7,196 short recorded sentences in 9 languages, of the stamps of Tux Paint; all languages of one stamp are on one side, 90/5/5 by a hash of its name."""

    type: Literal["stamps_spoken"] = "stamps_spoken"
    licence: ClassVar = "GPL-2+ and other free licences, per recording"
    source: ClassVar = "Tux Paint stamps; Debian package tuxpaint-stamps-default 2022.06.04-1"
    rows: ClassVar = 7_190
    size: ClassVar = 160_880_444
    columns: ClassVar = ("clip", "language", "stamp")
    target: ClassVar = "language"
    origins: ClassVar = (
        Origin(
            "deb",
            "tuxpaint-stamps-default=2022.06.04-1",
            "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
        ),
    )

    def load(self) -> dict[str, Source]:
        found: dict[str, list[tuple[str, str, bytes]]] = {"train": [], "validation": [], "test": []}
        for path, content in members(self.find(), ".ogg"):
            name = NAME.search(path)
            if name is not None and name[2] in LANGUAGES and content:
                found[side_of(name[1])].append((name[1], name[2], content))
        out: dict[str, Source] = {}
        for side, rows in found.items():
            rows.sort(key=lambda r: r[:2])
            columns = {
                "clip": pa.array([content for _, _, content in rows], pa.binary()),
                "language": pa.array([language for _, language, _ in rows]),
                "stamp": pa.array([stamp for stamp, _, _ in rows]),
            }
            out[side] = part(self.type, side, columns)
        return out
