"""ROC, precision-recall and calibration curves of a class output."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, own
from dapeng.report.section import Section, outputs
from dapeng.report.svg import Line, lines

UNIT = (0.0, 1.0)


@sections
class Curves(Section):
    """How the answers are ranked, and whether the probabilities can be believed."""

    type: Literal["curves"] = "curves"
    order: ClassVar[int] = 50
    title: ClassVar[str] = "Ranking and calibration"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if o.get("curves", {}).get("calibration")}
        return join(*(_output(n, o, len(each) > 1) for n, o in each.items())) if each else None


def _output(name: str, found: dict[str, Any], several: bool) -> Safe:
    curves = found["curves"]
    area = {r["label"]: r["auroc"] for r in found["per_class"]}
    worst = min((c["label"] for c in curves["roc"]), key=lambda label: area[label] or 0.0, default=None)
    one = len(curves["roc"]) == 1
    figures = []
    if curves["roc"]:
        said = f"Positive: {worst}." if one else f"One line a label; the strong one is the weakest, {worst}."
        figures.append(
            _figure(
                "ROC curve",
                lines(
                    "ROC curve",
                    _lines(curves["roc"], worst),
                    "false positive rate",
                    "true positive rate",
                    UNIT,
                    UNIT,
                    diagonal=True,
                ),
                said,
            )
        )
        figures.append(
            _figure(
                "Precision and recall",
                lines("Precision-recall curve", _lines(curves["pr"], worst), "recall", "precision", UNIT, UNIT),
                said,
            )
        )
    bins = curves["calibration"]
    line = Line("calibration", [b["confidence"] for b in bins], [b["right"] for b in bins], "faint")
    error = found["metrics"].get("ece", {}).get("value")
    told = "Larger dots are more rows. On the diagonal, confidence is the share that is right" + (
        f"; mean distance {error:.3f}." if error is not None else "."
    )
    figures.append(
        _figure(
            "Calibration",
            lines(
                "Calibration curve",
                [line],
                "confidence",
                "share right",
                UNIT,
                UNIT,
                diagonal=True,
                weights=[b["rows"] for b in bins],
            ),
            told,
        )
    )
    return join(el("h3", own(name)) if several else None, el("div", *figures, class_="charts"))


def _lines(curves: list[dict[str, Any]], strong: str | None) -> list[Line]:
    return [Line(c["label"], c["x"], c["y"], "strong" if c["label"] == strong else "faint") for c in curves]


def _figure(name: str, chart: Safe, said: str) -> Safe:
    return el("figure", el("p", name, class_="head"), chart, el("figcaption", said))
