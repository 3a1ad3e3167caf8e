"""How well texts are written or foreseen, script by script."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, figure_of, join, own, table
from dapeng.report.section import Section, outputs


@sections
class Scripts(Section):
    """Figures of the test rows whose true texts are mostly in each script, where there are several."""

    type: Literal["scripts"] = "scripts"
    order: ClassVar[int] = 26
    title: ClassVar[str] = "By script"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if o.get("by_script")}
        return join(*(_figures(n, o) for n, o in each.items())) if each else None


def _figures(name: str, found: dict[str, Any]) -> Safe:
    rows = found["by_script"]
    shown = [m for m in rows[0]["metrics"] if all(m in r["metrics"] for r in rows)]
    head = ["Script", "Rows", *(found["titles"].get(m, m) for m in shown)]
    body = [[r["script"], f"{r['rows']:,}", *(figure_of(m, r["metrics"][m]) for m in shown)] for r in rows]
    return table(
        join(own(name), ": test rows by the script that most of their letters are in"), head, body, range(1, len(head))
    )
