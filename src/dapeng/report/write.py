"""report.html and MODEL_CARD.md, out of what verbs left in the run folder. Written anew whenever a verb leaves more."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from dapeng.core.console import warn
from dapeng.core.errors import DapengError
from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.card import card
from dapeng.report.html import Safe
from dapeng.report.page import page
from dapeng.report.section import Section, read

REPORT, CARD = "report.html", "MODEL_CARD.md"


def write_report(folder: RunFolder) -> Path:
    """Write both files; returns the path of the report."""
    made = page(folder.name, _meta(folder), rendered(folder))
    folder.write_text(CARD, card(folder))
    return folder.write_text(REPORT, made)


def rendered(folder: RunFolder) -> list[tuple[str, str, Safe]]:
    """(anchor, heading, body) of every section that has something to say, in order."""
    members = sorted(sections.members().values(), key=lambda cls: (cls.order, cls.model_fields["type"].default))
    found = []
    for cls in members:
        section: Section = cls()
        try:
            body = section.render(folder)
        except (DapengError, OSError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            # a later verb's file of a form that this section does not know must not cost the rest of the report
            warn(f"the section {section.title!r} is left out of the report: {type(error).__name__}: {error}")
            continue
        if body:
            found.append((section.type, section.title, body))
    return found


def _meta(folder: RunFolder) -> list[str]:
    about = folder.about()
    metrics = read(folder, "metrics.json")
    found = ["Report of a run"]
    with suppress(ValueError):
        made = datetime.fromisoformat(str(about.get("created", "")))
        found.append(f"{made.day} {made:%B %Y, %H:%M} UTC")
    rows = metrics.get("rows")
    return [*found, f"{rows:,} test rows"] if rows else found
