"""What the model looked at, where `dapeng explain` was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.explained import Explained
from dapeng.report.html import Content, Safe, decimals_of, el, join, number, own, percent, signed, table
from dapeng.report.section import Section, read
from dapeng.report.svg import whiskered

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
        parts.append(_measured(found.get("measured", {})) if any(parts) else None)
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
        picture = whiskered(f"{', '.join(columns[:NAMED])}: {shown}", one["share"], None, (0.0, 1.0), True)
        rows.append([names, shown, f"{one['spread']:.1%}", picture])
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


@dataclass(frozen=True)
class Drop:
    """How much the score drops without a column, and its interval where there is one."""

    column: str
    value: float
    low: float | None
    high: float | None


def _drops(values: Any) -> list[Drop]:
    named = values.items() if isinstance(values, dict) else [(r.get("column", r.get("name")), r) for r in values]
    found = [(n, r if isinstance(r, dict) else {"importance": r}) for n, r in named]
    each = [(str(n), r.get("importance", r.get("value")), r.get("low"), r.get("high")) for n, r in found]
    return [Drop(n, float(v), low, high) for n, v, low, high in each if isinstance(v, (int, float))]


def _importance(output: str, values: Any) -> Safe | None:
    drops = sorted(_drops(values), key=lambda d: -d.value)[:MOST_COLUMNS]
    if not drops:
        return None
    known = [v for d in drops for v in (d.value, d.low, d.high) if v is not None]
    domain, decimals = (min(*known, 0.0), max(*known, 1e-12)), decimals_of(d.value for d in drops)
    rows = [_row(d, domain, decimals) for d in drops]
    what = "how much the score drops when a column is shuffled"
    caption = join(own(output), f": {what}") if output else what.capitalize()
    return table(caption, ["Column", "Drop", "Interval", "Beside the others"], rows, [1, 2])


def _row(drop: Drop, domain: tuple[float, float], decimals: int) -> list[Content]:
    """A drop that may be none at all, by its interval, is drawn faint."""
    shown = signed(drop.value, decimals).removeprefix("+")
    if drop.low is None or drop.high is None:
        return [own(drop.column), shown, "", whiskered(f"{drop.column}: {shown}", drop.value, None, domain, True)]
    bounds = " to ".join(signed(v, decimals).removeprefix("+") for v in (drop.low, drop.high))
    sure = drop.low > 0 or drop.high < 0
    picture = whiskered(f"{drop.column}: {shown}, from {bounds}", drop.value, (drop.low, drop.high), domain, sure)
    return [own(drop.column), shown, bounds, picture]


def _measured(about: dict[str, Any]) -> Safe | None:
    """On how many rows, and what the intervals are."""
    if not about.get("resamples"):
        return None
    rows, repeats = number(about["rows"]), number(about["repeats"])
    deals = "once" if about["repeats"] == 1 else f"{repeats} times"
    words = f"Measured on {rows} test rows, each column shuffled {deals}; the intervals ({percent(about['confidence'], 0)}) are over rows "
    words += "and shuffles drawn again. A column whose interval holds 0 may count for nothing: its bar is faint."
    return el("p", words, class_="quiet")
