"""Blood cells under a microscope, with boxes."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal
from xml.etree import ElementTree

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import members

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@samples
class Bccd(Sample):
    """364 photographs of blood, 640 x 480 pixels, with 4,886 boxes of red cells, white cells and platelets; the published lists of 205, 87 and 72
    pictures. Two boxes without an area are left out.
    """

    type: Literal["bccd"] = "bccd"
    licence: ClassVar = "MIT"
    source: ClassVar = "Shenggan, BCCD Dataset, 2017; github.com/Shenggan/BCCD_Dataset"
    rows: ClassVar = 364
    size: ClassVar = 8_909_968
    columns: ClassVar = ("photo", "cells")
    target: ClassVar = "cells"
    origins: ClassVar = (
        Origin("file", "bccd.zip", "a36543e009c764d76e9dcc2988b2388b0d93006db5a9d8ab581e5fc7b74b3e30"),
    )

    def load(self) -> dict[str, Source]:
        files = dict(members(self.find()))
        out: dict[str, Source] = {}
        for name, listed in (("train", "train"), ("validation", "val"), ("test", "test")):
            names = files[f"BCCD/ImageSets/Main/{listed}.txt"].decode().split()
            boxes = [json.dumps(_boxes(files[f"BCCD/Annotations/{n}.xml"])) for n in names]
            pictures = [files[f"BCCD/JPEGImages/{n}.jpg"] for n in names]
            out[name] = part(self.type, name, {"photo": pa.array(pictures, pa.binary()), "cells": pa.array(boxes)})
        return out


def _boxes(annotation: bytes) -> list[dict[str, Any]]:
    """The boxes of a Pascal VOC file that have an area."""
    found = []
    for thing in ElementTree.fromstring(annotation).iter("object"):
        x1, y1, x2, y2 = (float(thing.findtext(f"bndbox/{c}", "nan")) for c in CORNERS)
        if x1 < x2 and y1 < y2:
            found.append({"label": thing.findtext("name"), "x1": x1, "y1": y1, "x2": x2, "y2": y2})
    return found
