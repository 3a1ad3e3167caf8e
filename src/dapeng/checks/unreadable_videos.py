"""Videos that can't be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from dapeng.checks.files import FilesCheck
from dapeng.columns.cells import located
from dapeng.columns.video import Video
from dapeng.core.kinds import ColumnOptions, checks


@checks
class UnreadableVideos(FilesCheck):
    """Unreadable videos, among some spread over the rows: headers and packets are read, frames are not decoded."""

    type: Literal["unreadable_videos"] = "unreadable_videos"
    kinds: ClassVar[tuple[str, ...]] = ("video",)
    many: ClassVar[int] = 50
    things: ClassVar[str] = "videos"

    def refusal(self, cell: Any, options: ColumnOptions, base: Path | None) -> str:
        try:
            with Video().reader(1, 8, 8).opened(located(cell, base)):
                return ""
        except ValueError as error:
            return str(error)
