"""Predicted numbers beside the true ones, and how errors are spread."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number, own
from dapeng.report.section import Section, outputs
from dapeng.report.svg import histogram, scatter


@sections
class Numbers(Section):
    """Truth against prediction, errors, and both distributions."""

    type: Literal["numbers"] = "numbers"
    order: ClassVar[int] = 45
    title: ClassVar[str] = "Predicted and true"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if o.get("curves", {}).get("dots")}
        return join(*(_output(n, o, len(each) > 1) for n, o in each.items())) if each else None


def _output(name: str, found: dict[str, Any], several: bool) -> Safe:
    dots, errors, spread = found["curves"]["dots"], found["curves"]["errors"], found["distribution"]
    shown = f"{len(dots['truth']):,} of {dots['of']:,} rows; on the line, the prediction is exact."
    figures = [
        (
            "Row by row",
            scatter(f"{name}: predicted against true", dots["truth"], dots["predicted"], "true", "predicted"),
            shown,
        ),
        (
            "Errors",
            histogram(f"{name}: prediction minus truth", errors["edges"], errors["counts"], "prediction − truth"),
            "The outermost half percent on each side stands in the end bins.",
        ),
        (
            "Spread",
            histogram(
                f"{name}: true and predicted values", spread["edges"], spread["truth"], str(name), spread["predicted"]
            ),
            "Bars: true values. Line: predicted ones.",
        ),
    ]
    body = [el("figure", el("p", head, class_="head"), chart, el("figcaption", said)) for head, chart, said in figures]
    half = found["metrics"].get("median_ae", {}).get("value")
    lead = el("p", f"Half of the predictions are within {number(half)} of the truth.") if half is not None else None
    return join(el("h3", own(name)) if several else None, lead, el("div", *body, class_="charts"))
