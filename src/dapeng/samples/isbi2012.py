"""Slices of a fly's nerve cord under the electron microscope, with membranes drawn by hand."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import members

HELD_OUT = 5


@samples
class Isbi2012(Sample):
    """30 slices of 512 x 512 pixels (4 x 4 nm each), with masks: 0 is membrane, 255 the inside of cells. The last five slices test."""

    type: Literal["isbi2012"] = "isbi2012"
    licence: ClassVar = "research use"
    source: ClassVar = "Arganda-Carreras et al., Crowdsourcing the creation of image segmentation algorithms for connectomics, 2015; github.com/zhixuhao/unet"
    rows: ClassVar = 30
    size: ClassVar = 6_499_899
    columns: ClassVar = ("slice", "membranes")
    target: ClassVar = "membranes"
    origins: ClassVar = (
        Origin("file", "isbi2012.zip", "1dcd104d53ac43f77c7e31bfc18c7158487a63ce50711beecbc697e4bd281f9f"),
    )

    def load(self) -> dict[str, Source]:
        files = dict(members(self.find(), ".png"))
        numbers = sorted(int(n.rpartition("/")[2].removesuffix(".png")) for n in files if "/image/" in n)
        out: dict[str, Source] = {}
        for name, some in (("train", numbers[:-HELD_OUT]), ("test", numbers[-HELD_OUT:])):
            columns = {
                column: pa.array([files[f"train/{folder}/{n}.png"] for n in some], pa.binary())
                for column, folder in (("slice", "image"), ("membranes", "label"))
            }
            out[name] = part(self.type, name, columns)
        return out
