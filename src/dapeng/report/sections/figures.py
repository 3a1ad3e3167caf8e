"""Every metric of the product with its interval."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.evaluate.words import ALIKE, all_alike
from dapeng.report.html import Safe, el, figure_of, join, number, own, percent, table
from dapeng.report.section import Section, outputs, read

EQUAL = ("precision_micro", "recall_micro", "f1_micro")
"""With one label a row these equal accuracy."""

WHY = {
    "f1": "chosen on these very rows, so it flatters a little",
    "validation": "chosen on the validation rows, and what predictions go by",
    "spec": "as the spec says, and what predictions go by",
}
"""Where a threshold comes from."""


@sections
class Figures(Section):
    """All figures of the product, and where to put the threshold."""

    type: Literal["figures"] = "figures"
    order: ClassVar[int] = 30
    title: ClassVar[str] = "All figures"

    def render(self, folder: RunFolder) -> Safe | None:
        each = outputs(folder)
        level = read(folder, "metrics.json").get("confidence", 0.95)
        return join(*(join(_table(n, o, level), _threshold(n, o)) for n, o in each.items())) if each else None


def _table(name: str, found: dict[str, Any], level: float) -> Safe:
    rows = []
    for metric, figure in found["metrics"].items():
        if (metric in EQUAL and "accuracy" in found["metrics"]) or figure["value"] is None:
            continue
        lower = not found["higher_is_better"].get(metric, True)
        title = join(found["titles"][metric], el("span", "lower is better", class_="role") if lower else None)
        bounds = (
            "–"
            if figure["low"] is None
            else f"{figure_of(metric, figure['low'])} to {figure_of(metric, figure['high'])}"
        )
        rows.append([title, figure_of(metric, figure["value"]), bounds])
    asked = f", positive: {found['positive']}" if found.get("positive") else ""
    caption = join(own(name), f": {found['rows']:,} test rows{asked}")
    made = table(caption, ["Metric", "Value", f"{level:.0%} interval"], rows, [1, 2], "figures")
    return join(made, _resamples(found), _without(found))


def _without(found: dict[str, Any]) -> Safe | None:
    """That a figure has no interval where all resamples gave the same."""
    if not any(all_alike(f) for f in found["metrics"].values() if f["value"] is not None):
        return None
    return el("p", f"–: {ALIKE}.", class_="note")


def _resamples(found: dict[str, Any]) -> Safe | None:
    """How many resamples the intervals are from, and which had fewer."""
    counts = {m: f["resamples"] for m, f in found["metrics"].items() if f["low"] is not None}
    if not counts:
        return None
    most = max(counts.values())
    fewer = [f"{found['titles'][m]} {number(n)}" for m, n in counts.items() if n < most]
    said = f"Intervals: percentile bootstrap, {number(most)} resamples of the test rows"
    return el("p", said + (f" (dear to compute, so fewer: {', '.join(fewer)})." if fewer else "."), class_="note")


def _threshold(name: str, found: dict[str, Any]) -> Safe | None:
    chosen = found.get("threshold")
    if not chosen:
        return None
    parts = []
    if chosen["by"] == "costs":
        parts.append(
            f"By the costs given, the likeliest label costs {number(chosen['cost_likeliest'])} a row; the decision of the "
            f"least expected cost {number(chosen['cost_cheapest'])}."
        )
    if "value" in chosen:
        where = WHY.get(chosen["by"], "it follows from the costs")
        parts.append(
            f"Threshold: call it {found['positive']} from a probability of {chosen['value']:.3g} on ({where}): "
            f"precision {percent(chosen['precision'])}, recall {percent(chosen['recall'])}, F1 {chosen['f1']:.3f}."
        )
    if chosen["by"] == "costs" and found.get("cut") is not None:
        parts.append(f"Predictions go by {found['cut']:.3g}: outputs.NAME.threshold sets another.")
    return el("p", " ".join(parts), class_="note") if parts else None
