"""Volumes and label volumes that can't be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from dapeng.checks.files import FilesCheck
from dapeng.columns.volumes import MOST_VOXELS, opened
from dapeng.core.kinds import ColumnOptions, checks


@checks
class UnreadableVolumes(FilesCheck):
    """Unreadable volumes, among some spread over the rows: headers are read (of a folder those of all slices), voxels are not."""

    type: Literal["unreadable_volumes"] = "unreadable_volumes"
    kinds: ClassVar[tuple[str, ...]] = ("volume", "volume_mask")
    many: ClassVar[int] = 20
    things: ClassVar[str] = "volumes"

    def refusal(self, cell: Any, options: ColumnOptions, base: Path | None) -> str:
        try:
            opened(cell, base, getattr(options, "max_voxels", getattr(options, "max_pixels", MOST_VOXELS)))
        except ValueError as error:
            return str(error)
        return ""
