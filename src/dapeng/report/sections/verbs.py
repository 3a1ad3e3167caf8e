"""What was done with the run afterwards: exported, compressed. One section each, out of the JSON that the verb left."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, number, own, table
from dapeng.report.section import Section, read

MOST_ROWS = 60


@sections
class Compression(Section):
    """Size, speed and accuracy before and after."""

    type: Literal["compress"] = "compress"
    order: ClassVar[int] = 84
    title: ClassVar[str] = "Smaller"

    def render(self, folder: RunFolder) -> Safe | None:
        return _values("Before and after", read(folder, "compress.json"))


@sections
class Export(Section):
    """Formats that the model was written in, and how near they are to it."""

    type: Literal["export"] = "export"
    order: ClassVar[int] = 86
    title: ClassVar[str] = "Exported"

    def render(self, folder: RunFolder) -> Safe | None:
        return _values("What was written, and how near it predicts", read(folder, "export.json"))


def _values(caption: str, found: dict[str, Any]) -> Safe | None:
    rows = [[own(path), own(value)] for path, value in _flat(found)]
    return table(caption, ["What", "Value"], rows[:MOST_ROWS]) if rows else None


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{path} › {key}" if path else str(key))]
    if isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        return [pair for i, inner in enumerate(value, 1) for pair in _flat(inner, f"{path} {i}")]
    text = ", ".join(map(str, value)) if isinstance(value, list) else number(value)
    return [(path, text[:200])]
