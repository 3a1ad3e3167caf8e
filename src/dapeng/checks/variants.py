"""Labels that are written in more than one way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

from dapeng.checks.base import Cells, Check, Finding, Seen
from dapeng.columns.category import normal
from dapeng.core.kinds import checks
from dapeng.data.splits.base import codes

MOST = 100_000


@checks
class Variants(Check):
    """Labels that are read as one (`variants`), and labels that differ in upper and lower case alone (`case`)."""

    type: Literal["variants"] = "variants"
    order: ClassVar[int] = 30

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("category",)):
            labels = labels_of(column)
            merged = alike(labels, normal)
            if merged:
                text = f"{column.name}: labels that are read as one: {shown(merged)}"
                yield written(column, "variants", merged, text, "info")
            cases = alike(sorted({normal(v) for v in labels}), str.casefold)
            if cases:
                text = f"{column.name}: labels that differ in upper and lower case stay apart: {shown(cases)}"
                yield written(column, "case", cases, text)


def labels_of(column: Cells) -> list[str]:
    """The different cells, as they are written."""
    return [str(v) for v in codes(column.cells)[1][:MOST] if v is not None]


def alike(labels: list[str], fold: Callable[[str], str]) -> list[list[str]]:
    """Labels that are the same once they are folded, in groups of two and more."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[fold(label)].append(label)
    return [g for g in groups.values() if len(g) > 1]


def shown(groups: list[list[str]]) -> str:
    """A few of the groups, what is not ASCII written out."""
    return "; ".join(" / ".join(ascii(v) if not v.isascii() else repr(v) for v in g[:4]) for g in groups[:3])


def written(
    column: Cells, kind: str, groups: list[list[str]], text: str, severity: Literal["warning", "info"] = "warning"
) -> Finding:
    """A finding with the first row of each spelling."""
    places, values = codes(column.cells)
    at = {str(v): i for i, v in enumerate(values)}
    rows, examples = [], []
    for label in [v for g in groups[:3] for v in g[:4] if v in at][:6]:
        rows.append(int((places == at[label]).argmax()))
        examples.append(ascii(label))
    return Finding(kind, (column.name,), tuple(rows), text, severity, tuple(examples))
