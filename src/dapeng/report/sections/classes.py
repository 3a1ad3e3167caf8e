"""Class by class: what is found, and what is taken for what."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number, own, percent, table
from dapeng.report.section import Section, outputs

LARGEST = 25
MOST_ROWS = 60


@sections
class Classes(Section):
    """Precision and recall of every class, and the confusion matrix."""

    type: Literal["classes"] = "classes"
    order: ClassVar[int] = 40
    title: ClassVar[str] = "Class by class"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if o.get("confusion")}
        return join(*(join(_confusion(n, o), _classes(n, o)) for n, o in each.items())) if each else None


def _classes(name: str, found: dict[str, Any]) -> Safe:
    rows = (
        sorted(found["per_class"], key=lambda r: r["f1"]) if len(found["per_class"]) > MOST_ROWS else found["per_class"]
    )
    body = [
        [
            own(r["label"]),
            number(r["rows"]),
            number(r["predicted"]),
            *(percent(r[k]) for k in ("precision", "recall", "f1", "specificity")),
            number(r["auroc"]),
        ]
        for r in rows[:MOST_ROWS]
    ]
    cut = f" (the {MOST_ROWS} weakest of {len(rows):,})" if len(rows) > MOST_ROWS else ""
    head = ["Label", "Rows", "Said", "Precision", "Recall", "F1", "Specificity", "AUROC"]
    return table(join(own(name), f": every label{cut}"), head, body, range(1, 8))


def _confusion(name: str, found: dict[str, Any]) -> Safe:
    labels, counts = found["confusion"]["labels"], found["confusion"]["counts"]
    if len(labels) > LARGEST:
        return _pairs(name, labels, counts)
    head = el(
        "tr", el("td", "true ↓ said →", class_="corner"), *(el("th", own(label), scope="col") for label in labels)
    )
    body = [
        el("tr", el("th", own(label), scope="row"), *(_cell(n, sum(row), i == j) for j, n in enumerate(row)))
        for i, (label, row) in enumerate(zip(labels, counts))
    ]
    caption = el("caption", own(name), ": rows by true label and by what was said; shades are shares of a row")
    made = el("table", caption, el("thead", head), el("tbody", *body), class_="confusion")
    return el("div", made, class_="scroll", role="region", tabindex="0", aria_label=f"Confusion matrix of {name}")


def _cell(count: int, total: int, right: bool) -> Safe:
    share = count / total if total else 0.0
    shade = 0 if not count else 1 + min(int(share * 9), 8)
    return el("td", number(count) if count else "·", class_=f"{'hit' if right else 'miss'} h{shade}")


def _pairs(name: str, labels: list[str], counts: list[list[int]]) -> Safe:
    """Of many labels: the pairs that are confused most."""
    pairs = [(n, labels[i], labels[j]) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j]
    rows = [[own(true), own(said), number(n)] for n, true, said in sorted(pairs, reverse=True)[:20]]
    return table(join(own(name), ": what is taken for what, most often first"), ["True", "Said", "Rows"], rows, [2])
