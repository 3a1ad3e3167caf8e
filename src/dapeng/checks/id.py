"""Inputs that are names of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from dapeng.checks.base import Check, Finding, Seen
from dapeng.core.kinds import checks
from dapeng.data.splits.base import codes

FEWEST, SHARE = 50, 0.9


@checks
class Id(Check):
    """Categories with hardly a label twice."""

    type: Literal["id"] = "id"
    order: ClassVar[int] = 20

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("category",), targets=False):
            values, rows = len(codes(column.cells)[1]), len(column.cells)
            if rows >= FEWEST and values >= SHARE * rows:
                many = f"{values:,} different labels in {rows:,} rows"
                text = f"{column.name}: {many}, like an id: a model can only learn it by heart"
                shown = tuple(repr(v) for v in column.cells[:3].to_pylist())
                yield Finding("id", (column.name,), (0, 1, 2), text, examples=shown)
