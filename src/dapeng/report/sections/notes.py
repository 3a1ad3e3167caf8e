"""What was repaired, left out, or is worth knowing about the data."""

from __future__ import annotations

from typing import ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number, own
from dapeng.report.section import Section, outputs, read, resolved

MOST = 50
MOST_LABELS = 8


@sections
class Notes(Section):
    """Repairs, quarantine and warnings; and rows that could not be judged."""

    type: Literal["notes"] = "notes"
    order: ClassVar[int] = 80
    title: ClassVar[str] = "Repairs and what was left out"

    def render(self, folder: RunFolder) -> Safe | None:
        notes = [str(n) for n in resolved(folder).get("facts", {}).get("notes", [])]
        notes += [str(n) for n in read(folder, "metrics.json").get("notes", [])]
        for name, found in outputs(folder).items():
            if found.get("missing"):
                notes.append(f"{found['missing']:,} test rows lack the true {name} and were not judged")
        for name, column in read(folder, "columns.json").get("inputs", {}).items():
            bad = column.get("state", {}).get("unreadable")
            if bad:
                notes.append(f"{name}: {number(bad)} of the cells that were looked at can't be read")
        if not notes:
            return el("p", "Nothing had to be repaired or left out.")
        more = f"… and {len(notes) - MOST:,} more" if len(notes) > MOST else None
        return join(el("ul", *(el("li", own(n)) for n in notes[:MOST])), el("p", more) if more else None)
