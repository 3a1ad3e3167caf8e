"""Texts that were written for test rows, beside the true ones."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, own, table
from dapeng.report.section import Section, outputs


@sections
class Written(Section):
    """Some test rows, evenly chosen: what was written, and the truth."""

    type: Literal["written"] = "written"
    order: ClassVar[int] = 40
    title: ClassVar[str] = "What was written"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if o.get("samples")}
        return join(*(_texts(n, o) for n, o in each.items())) if each else None


def _texts(name: str, found: dict[str, Any]) -> Safe:
    wrote = any(s["written"] for s in found["samples"])
    rows = [[own(s["written"]), own(s["truth"])] if wrote else [own(s["truth"])] for s in found["samples"]]
    head = ["Written", "Truth"] if wrote else ["Truth"]
    signatures = [el("p", own(f"{k}: {v}"), class_="note") for k, v in found.get("signatures", {}).items()]
    return join(table(own(name), head, rows, ()), *signatures)
