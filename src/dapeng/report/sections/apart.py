"""Figures apart by the values of a column, and what is left when something is taken from the inputs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, figure_of, join, number, own, table
from dapeng.report.section import Section, outputs


@sections
class Apart(Section):
    """The headline for each value of the columns that `evaluate.by` names; and of the network under each control."""

    type: Literal["apart"] = "apart"
    order: ClassVar[int] = 25
    title: ClassVar[str] = "Apart"

    def render(self, folder: RunFolder) -> Safe | None:
        each = outputs(folder)
        made = [_by(o, n, rows) for o, found in each.items() for n, rows in found.get("apart", {}).items() if rows]
        made += [_controls(o, found) for o, found in each.items() if found.get("controls")]
        return join(*made) if made else None


def _by(output: str, column: str, rows: list[dict[str, Any]]) -> Safe:
    members = list(dict.fromkeys(m for row in rows for m in row["members"]))
    metric = next(f["metric"] for row in rows for f in row["members"].values())
    body = [
        [own(row["value"] or "(none)"), number(row["rows"]), *(_figure(row["members"].get(m)) for m in members)]
        for row in rows
    ]
    caption = join(own(output), f": {metric.replace('_', ' ')} by ", own(column))
    return table(caption, [own(column), "Rows", *members], body, range(1, len(members) + 2))


def _figure(found: dict[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "–"
    shown = figure_of(found["metric"], found["value"])
    bounds = [figure_of(found["metric"], found[k]) for k in ("low", "high") if found[k] is not None]
    return f"{shown} [{', '.join(bounds)}]" if bounds else shown


def _controls(output: str, found: dict[str, Any]) -> Safe:
    body = [
        [
            join(own(c["column"]), ": ", c["control"]) if c["column"] else c["control"],
            figure_of(c["metric"], c["value"]),
        ]
        for c in found["controls"]
    ]
    caption = join(own(output), ": the network alone, and when something is taken from what it reads")
    note = "If a figure stays as it is under a control, the network does not go by what was taken."
    return join(
        table(caption, ["Control", found["titles"][found["headline"]]], body, [1]), el("p", note, class_="note")
    )
