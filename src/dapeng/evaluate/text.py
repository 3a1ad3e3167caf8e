"""A verdict for the terminal: the words first, then tables."""

from __future__ import annotations

from typing import Any

from dapeng.core.console import table
from dapeng.evaluate.words import rounded, settled, without_unit

MOST_CLASSES = 30


class Verdict(dict[str, Any]):
    """metrics.json with a face."""

    def plain(self) -> dict[str, Any]:
        return dict(self)

    def text(self) -> str:
        parts = [self.get("verdict", ""), *self.get("notes", [])]
        for name, found in self.get("outputs", {}).items():
            if found.get("metrics"):
                parts += [*_output(name, found, self.get("confidence", 0.95))]
        return "\n".join(p for p in parts if p is not None).strip()

    def __str__(self) -> str:
        return self.text()


def _output(name: str, found: dict[str, Any], confidence: float) -> list[str]:
    parts = ["", f"{name}, {found['rows']:,} rows", ""]
    rows = [(found["titles"].get(m, m), *_shown(m, f)) for m, f in found["metrics"].items() if f["value"] is not None]
    parts.append(table(rows, ("metric", "value", f"{confidence:.0%} from", "to")))
    if len(found["leaderboard"]) > 1:
        parts += ["", _leaderboard(found)]
    if found.get("per_class"):
        parts += ["", _per_class(found["per_class"])]
    for column, rows in found.get("apart", {}).items():
        parts += ["", _apart(column, rows, found["headline"])]
    if found.get("by_script"):
        parts += ["", _by_script(found)]
    if found.get("controls"):
        shown = [(f"{c['column']} {c['control']}".strip(), c["value"]) for c in found["controls"]]
        parts += ["", table(shown, ("the network alone", found["headline"]))]
    return parts


def _apart(column: str, rows: list[dict[str, Any]], metric: str) -> str:
    """The headline for each value of a column, of the product and of its baselines."""
    members = list(dict.fromkeys(m for row in rows for m in row["members"]))
    body = [[r["value"], r["rows"], *(r["members"].get(m, {}).get("value") for m in members)] for r in rows]
    return table(body, (column, "rows", *(f"{metric}, {m}" for m in members)))


def _by_script(found: dict[str, Any]) -> str:
    """Figures of texts that are mostly in each script."""
    rows = found["by_script"]
    shown = [m for m in rows[0]["metrics"] if all(m in r["metrics"] for r in rows)]
    body = [[r["script"], r["rows"], *(r["metrics"][m] for m in shown)] for r in rows]
    return table(body, ("mostly in", "rows", *(found["titles"].get(m, m) for m in shown)))


def _shown(metric: str, figure: dict[str, Any]) -> tuple[Any, Any, Any]:
    """A value and its interval; what rounds to nothing and has no unit as 0.000."""
    value, low, high = (
        rounded(v) if v is not None and abs(v) < 0.001 and without_unit(metric) else v
        for v in (figure["value"], figure.get("low"), figure.get("high"))
    )
    return value, low, high


def _leaderboard(found: dict[str, Any]) -> str:
    metric = found["headline"]
    rows = []
    for row in found["leaderboard"]:
        figure, gap = row["metrics"][metric], row.get("difference")
        ahead = "" if gap is None else f"{settled(metric, gap['value']):+.4g}"
        sure = (
            ""
            if gap is None or gap["low"] is None
            else " to ".join(f"{settled(metric, gap[k]):+.3g}" for k in ("low", "high"))
        )
        share = f"{row['share']:.0%}" if row["share"] else ""
        rows.append((row["name"], row["role"], *_shown(metric, figure), share, row["cpu_seconds"], ahead, sure))
    head = ("model", "role", metric, "from", "to", "share", "CPU s", "product is better by", "interval")
    return table(rows, head)


def _per_class(classes: list[dict[str, Any]]) -> str:
    head = ("label", "rows", "predicted", "precision", "recall", "f1", "auroc")
    text = table([[row.get(key) for key in head] for row in classes[:MOST_CLASSES]], head)
    more = len(classes) - MOST_CLASSES
    return f"{text}\n... and {more:,} labels more" if more > 0 else text
