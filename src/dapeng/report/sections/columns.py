"""The columns as they were fitted on the training rows."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core import kinds
from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, join, number, own, table
from dapeng.report.section import Section, read, resolved

MOST_ROWS = 200


@sections
class Columns(Section):
    """Inputs and outputs: type, what was fitted, how they are read."""

    type: Literal["columns"] = "columns"
    order: ClassVar[int] = 70
    title: ClassVar[str] = "Columns"

    def render(self, folder: RunFolder) -> Safe | None:
        found = read(folder, "columns.json")
        if not found:
            return None
        encoders = _encoders(folder)
        rows = [
            [
                own(name),
                side[:-1],
                described(name, column, side == "outputs"),
                encoders.get(name, ""),
                number(column["state"].get("missing", 0)),
            ]
            for side in ("inputs", "outputs")
            for name, column in found.get(side, {}).items()
        ]
        cut = f" (the first {MOST_ROWS} of {len(rows):,})" if len(rows) > MOST_ROWS else ""
        caption = join("As fitted on the training rows", cut)
        return table(caption, ["Column", "Is", "Fitted", "Read by", "Missing"], rows[:MOST_ROWS], [4])


def described(name: str, column: dict[str, Any], target: bool) -> str:
    """A few words on a fitted column, in its type's own words."""
    options = column["options"]
    cls = kinds.columns.members().get(options["type"])
    if cls is None:
        return str(options["type"])
    # not validated: that would load every network, and torch with them, for a line of text
    return cls.model_construct(**options).fitted(name, column["state"], target).describe()


def _encoders(folder: RunFolder) -> dict[str, str]:
    inputs = resolved(folder).get("spec", {}).get("inputs", {})
    return {n: str((o.get("encoder") or {}).get("type", "")) for n, o in inputs.items() if isinstance(o, dict)}
