"""Pictures and label pictures that can't be read."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal

from dapeng.checks.files import FilesCheck
from dapeng.columns import pictures
from dapeng.core.kinds import ColumnOptions, checks


@checks
class Unreadable(FilesCheck):
    """Unreadable pictures, among some spread over the rows: the header is read, not the pixels."""

    type: Literal["unreadable"] = "unreadable"
    kinds: ClassVar[tuple[str, ...]] = ("image", "mask")
    many: ClassVar[int] = 200
    things: ClassVar[str] = "pictures"

    def refusal(self, cell: Any, options: ColumnOptions, base: Path | None) -> str:
        try:
            picture = pictures.open_picture(cell, base, getattr(options, "max_pixels", pictures.MAX_PIXELS), 1)
            if "values" not in picture.info:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    picture.verify()
        except (pictures.Unreadable, *pictures.DAMAGED) as error:
            return str(error).split(" <_io")[0][:100] or type(error).__name__
        return ""
