"""What the model looked at, where `dapeng explain` was asked."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.explained import Explained
from dapeng.report.html import Safe, decimals_of, join, number, own, signed, table
from dapeng.report.section import Section, read
from dapeng.report.svg import bar

MOST_COLUMNS = 30
NAMED = 6
"""Columns of one input that are named."""


@sections
class Explanation(Section):
    """Importance of the columns, and rows one by one, out of explain.json."""

    type: Literal["explain"] = "explain"
    order: ClassVar[int] = 67
    title: ClassVar[str] = "What it looks at"

    def render(self, folder: RunFolder) -> Safe | None:
        found = read(folder, "explain.json")
        parts = [_importance(name, values) for name, values in _outputs(found).items()]
        parts.append(_shares(found.get("fusion") or read(folder, "metrics.json").get("fusion")))
        parts.append(Explained(found.get("rows", [])).render())
        return join(parts) if any(parts) else None


def _shares(found: Any) -> Safe | None:
    """What the fusion of a network gives each input."""
    if not isinstance(found, dict) or not found.get("inputs"):
        return None
    rows = []
    for one in found["inputs"]:
        columns = one["columns"]
        names = own(", ".join(columns[:NAMED]) + (f" and {len(columns) - NAMED} more" if len(columns) > NAMED else ""))
        shown = f"{one['share']:.1%}"
        rows.append([names, shown, f"{one['spread']:.1%}", bar(f"{', '.join(columns[:NAMED])}: {shown}", one["share"])])
    caption = f"What the network gives each input: {found['share']}, mean of {number(found['rows'])} rows"
    return table(caption, ["Input", "Share", "Spread over the rows", "Of the whole"], rows, [1, 2])


def _outputs(found: dict[str, Any]) -> dict[str, Any]:
    """Importances by output, whether the verb wrote them by output or for the only one."""
    importance = found.get("importance", found.get("columns"))
    if isinstance(importance, list) or (isinstance(importance, dict) and _plain(importance)):
        return {"": importance}
    return importance if isinstance(importance, dict) else {}


def _plain(values: dict[str, Any]) -> bool:
    return all(isinstance(v, (int, float)) for v in values.values())


def _pairs(values: Any) -> list[tuple[str, float]]:
    if isinstance(values, dict):
        found = [(k, v.get("importance", v.get("value")) if isinstance(v, dict) else v) for k, v in values.items()]
    else:
        found = [
            (r.get("column", r.get("name")), r.get("importance", r.get("value"))) for r in values if isinstance(r, dict)
        ]
    return [(str(n), float(v)) for n, v in found if isinstance(v, (int, float))]


def _importance(output: str, values: Any) -> Safe | None:
    pairs = sorted(_pairs(values), key=lambda p: -p[1])
    if not pairs:
        return None
    most, decimals = max(max(v for _, v in pairs), 1e-12), decimals_of(v for _, v in pairs)
    rows = [
        [own(n), (shown := signed(v, decimals).removeprefix("+")), bar(f"{n}: {shown}", max(v, 0.0) / most)]
        for n, v in pairs[:MOST_COLUMNS]
    ]
    what = "how much the score drops when a column is shuffled"
    caption = join(own(output), f": {what}") if output else what.capitalize()
    return table(caption, ["Column", "Drop", "Beside the largest"], rows, [1])
