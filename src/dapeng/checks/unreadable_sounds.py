"""Sounds that can't be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from dapeng.checks.files import FilesCheck
from dapeng.columns.audio import Audio
from dapeng.columns.cells import located
from dapeng.core.kinds import ColumnOptions, checks


@checks
class UnreadableSounds(FilesCheck):
    """Unreadable sounds, among some spread over the rows: the header is read, not the samples."""

    type: Literal["unreadable_sounds"] = "unreadable_sounds"
    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    many: ClassVar[int] = 200
    things: ClassVar[str] = "sounds"

    def refusal(self, cell: Any, options: ColumnOptions, base: Path | None) -> str:
        try:
            Audio().reader.open(located(cell, base)).close()
        except ValueError as error:
            return str(error)
        return ""
