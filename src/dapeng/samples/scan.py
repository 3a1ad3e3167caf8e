"""Commands in a small language and what they ask for, to see whether a network puts together what it has learnt apart."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import member


class _Scan(Sample):
    licence: ClassVar = "BSD"
    source: ClassVar = "Lake and Baroni, Generalization without Systematicity, 2018; github.com/brendenlake/SCAN"
    size: ClassVar = 412_088
    columns: ClassVar = ("command", "actions")
    target: ClassVar = "actions"
    origins: ClassVar = (
        Origin("file", "scan.zip", "1c51798134cb024aeb6c6637f2150c5e0e68f59abedcfdc419f6e53a7b0cbcfd"),
    )
    stem: ClassVar[str] = ""
    """Of the files, with the part to be put in."""

    def load(self) -> dict[str, Source]:
        archive = self.find()
        return {name: self._part(name, member(archive, self.stem.format(name))) for name in ("train", "test")}

    def _part(self, name: str, raw: bytes) -> Source:
        lines = [line.removeprefix("IN: ").partition(" OUT: ") for line in raw.decode("ascii").splitlines() if line]
        commands, actions = [a.strip() for a, _, _ in lines], [b.strip() for _, _, b in lines]
        return part(self.type, name, {"command": pa.array(commands), "actions": pa.array(actions)})


@samples
class Scan(_Scan):
    """20,910 commands such as "jump opposite left twice" and the actions that they ask for; the official simple split."""

    type: Literal["scan"] = "scan"
    rows: ClassVar = 20_910
    stem: ClassVar = "simple_split/tasks_{}_simple.txt"


@samples
class ScanJump(_Scan):
    """22,376 commands and their actions; "jump" is taught alone and tested with all else (the official add-jump split)."""

    type: Literal["scan_jump"] = "scan_jump"
    rows: ClassVar = 22_376
    stem: ClassVar = "add_prim_split/tasks_{}_addprim_jump.txt"
