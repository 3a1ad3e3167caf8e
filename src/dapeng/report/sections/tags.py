"""Label by label, where a row may have several: what is found, and from which probability on it is said."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, number, own, percent, table
from dapeng.report.section import Section, outputs

MOST_ROWS = 100
MOST_SIZES = 8


@sections
class Tags(Section):
    """Precision, recall and F1 of every label of a set, with its rows; and how many labels rows have."""

    type: Literal["tags"] = "tags"
    order: ClassVar[int] = 41
    title: ClassVar[str] = "Label by label"

    def render(self, folder: RunFolder) -> Safe | None:
        each = {n: o for n, o in outputs(folder).items() if o.get("per_class") and o.get("sizes")}
        return join(*(join(_labels(n, o), _sizes(n, o)) for n, o in each.items())) if each else None


def _labels(name: str, found: dict[str, Any]) -> Safe:
    every = found["per_class"]
    rows = sorted(every, key=lambda r: -r["rows"])[:MOST_ROWS]
    body = [
        [
            own(r["label"]),
            number(r["rows"]),
            number(r["predicted"]),
            *(percent(r[k]) for k in ("precision", "recall", "f1")),
            number(r["auprc"], 3),
            number(r["auroc"], 3),
            number(r["threshold"], 2),
        ]
        for r in rows
    ]
    cut = f" (the {MOST_ROWS} most frequent of {len(every):,})" if len(every) > MOST_ROWS else ""
    head = ["Label", "Rows", "Said", "Precision", "Recall", "F1", "AUPRC", "AUROC", "Said from"]
    note = el("p", "A label is said from the probability in the last column on.", class_="note")
    return join(table(join(own(name), f": every label{cut}"), head, body, range(1, 9)), note)


def _sizes(name: str, found: dict[str, Any]) -> Safe:
    """Rows by their number of labels, true and said."""
    true, said = found["sizes"]["truth"], found["sizes"]["predicted"]
    count = max(len(true), len(said))
    padded = [[*s, *[0] * (count - len(s))] for s in (true, said)]
    if count > MOST_SIZES + 1:
        padded = [[*s[:MOST_SIZES], sum(s[MOST_SIZES:])] for s in padded]
    names = [str(i) for i in range(len(padded[0]))]
    names[-1] += " or more" if count > MOST_SIZES + 1 else ""
    body = [[n, number(t), number(s)] for n, t, s in zip(names, *padded)]
    return table(join(own(name), ": rows by how many labels they have"), ["Labels", "True", "Said"], body, [1, 2])
