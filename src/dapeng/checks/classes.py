"""Labels of an output that are rare, and labels far more frequent than others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Check, Finding, Seen
from dapeng.core.kinds import checks
from dapeng.data.splits.base import codes

RARE = 10
"""Rows of a class below which it is called rare."""
SHARE, TIMES = 0.9, 20


@checks
class Classes(Check):
    """Rare labels (kind `rare`) and unequal ones (kind `imbalance`) of the outputs."""

    type: Literal["classes"] = "classes"
    order: ClassVar[int] = 30

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("category",)):
            places, values = codes(column.cells)
            if not column.target or len([v for v in values if v not in ("", None)]) < 2:
                continue
            counts = np.bincount(places[places >= 0], minlength=len(values))
            rare = np.flatnonzero(counts < RARE)
            rare = rare[np.argsort(counts[rare], kind="stable")]
            if len(rare):
                some = ", ".join(f"{values[i]!r} ({counts[i]})" for i in rare[:5])
                rows = tuple(int(np.argmax(places == i)) for i in rare[:5])
                text = f"{column.name}: {len(rare)} labels with fewer than {RARE} rows: {some}"
                yield Finding("rare", (column.name,), rows, text, examples=tuple(repr(values[i]) for i in rare[:5]))
            yield from _imbalance(column.name, values, counts)


def _imbalance(name: str, values: list[object], counts: np.ndarray) -> Iterator[Finding]:
    share = counts.max() / counts.sum()
    if share > SHARE or counts.max() > TIMES * counts.min() > 0:
        better = "average precision" if len(counts) == 2 else "balanced accuracy"
        text = f"{name}: {values[int(np.argmax(counts))]!r} makes up {share:.1%} of the rows: look at {better}, not at accuracy"
        yield Finding("imbalance", (name,), (), text, "info")
