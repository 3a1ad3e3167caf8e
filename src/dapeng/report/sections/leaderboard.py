"""Every member and baseline on the same rows, best first."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.evaluate.words import without_unit
from dapeng.report.html import Safe, duration, el, figure_of, join, number, own, percent, table
from dapeng.report.section import Section, outputs
from dapeng.report.svg import span


@sections
class Leaderboard(Section):
    """The product beside the network, the learners and the baselines."""

    type: Literal["leaderboard"] = "leaderboard"
    order: ClassVar[int] = 20
    title: ClassVar[str] = "Beside simpler models"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if len(o["leaderboard"]) > 1}
        if not each:
            return None
        lead = el(
            "p",
            "All were trained on the same rows and judged on the same rows. Whiskers are intervals; a difference is paired "
            "row by row, and counts where its interval leaves out 0.",
        )
        return join(lead, *(_board(name, found) for name, found in each.items()))


def _board(name: str, found: dict[str, Any]) -> Safe:
    metric = found["headline"]
    rows = found["leaderboard"]
    domain = _domain(rows, metric)
    others = [m for m in rows[0]["metrics"] if m != metric and all(m in r["metrics"] for r in rows)][-2:]
    head = [
        "Model",
        _short(found, metric),
        "Interval",
        "Product better by",
        "Share",
        "CPU time",
        *(_short(found, m) for m in others),
    ]
    body = [[*_row(row, metric, domain), *(figure_of(m, row["metrics"][m]["value"]) for m in others)] for row in rows]
    numeric = [1, 4, 5, *range(6, len(head))]
    way = "higher" if found["higher_is_better"][metric] else "lower"
    return table(join(own(name), f": {way} is better"), head, body, numeric, "board")


def _short(found: dict[str, Any], metric: str) -> str:
    """A column's heading: long names by their usual letters."""
    return found["titles"][metric] if len(found["titles"][metric]) < 11 else metric.replace("_", " ").upper()


def _row(row: dict[str, Any], metric: str, domain: tuple[float, float]) -> list[Any]:
    figure = row["metrics"][metric]
    product = row["role"] == "product"
    low, high = figure["low"], figure["high"]
    said = f"{row['name']}: {figure_of(metric, figure['value'])}"
    said += f", from {figure_of(metric, low)} to {figure_of(metric, high)}" if low is not None else ""
    what = "part of it" if row["share"] > 0 else "no part of it" if row["role"] == "network" else "baseline"
    role = None if product else el("span", what, class_="role")
    name = el("strong", row["name"]) if product else join(own(row["name"]), " ", role)
    share = percent(row["share"], 0) if row["share"] and not product else ""
    picture = span(said, figure["value"], low, high, domain, product)
    cost = "" if product else duration(row["cpu_seconds"])
    return [name, figure_of(metric, figure["value"]), picture, _gap(metric, row), share, cost]


def _gap(metric: str, row: dict[str, Any]) -> Safe | str:
    gap = row.get("difference")
    if gap is None:
        return ""
    if row.get("same"):
        return el("span", "the same", class_="quiet")
    factor, unit = (100, " pt") if metric == "accuracy" else (1, "")

    def signed(v: float) -> str:
        if metric == "accuracy":
            return f"{v:+.1f}"
        return ("-" if v < 0 else "+") + number(abs(v), 3) if abs(v) >= 1e-4 or not without_unit(metric) else "0.000"

    value = signed(gap["value"] * factor) + unit
    if gap["low"] is None:
        return value
    sure = gap["low"] > 0 or gap["high"] < 0
    bounds = f"({signed(gap['low'] * factor)} to {signed(gap['high'] * factor)})"
    return join(el("span", value, class_="sure" if sure else "unsure"), " ", el("span", bounds, class_="quiet"))


def _domain(rows: list[dict[str, Any]], metric: str) -> tuple[float, float]:
    """The axis of all rows; the floor would squeeze the others together, so it may lie outside."""
    used = [r for r in rows if r["name"] != "constant"] or rows
    best = used[: max(3, len(used) // 2)]
    known = [v for r in best for v in (r["metrics"][metric][k] for k in ("value", "low", "high")) if v is not None]
    return min(known), max(known)
