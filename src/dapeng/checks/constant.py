"""Columns that say the same in every row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from dapeng.checks.base import Check, Finding, Seen
from dapeng.core.kinds import checks
from dapeng.data.splits.base import codes


@checks
class Constant(Check):
    """Columns of one value: as an input it is idle, as an output it can't be learnt."""

    type: Literal["constant"] = "constant"
    order: ClassVar[int] = 10

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns():
            if not column.plain or column.options.reads_files:
                continue
            there = [v for v in codes(column.cells)[1] if v not in ("", None)]
            if len(there) > 1:
                continue
            text = f"every cell is {str(there[0])[:40]!r}" if there else "every cell is empty"
            severity = "error" if column.target else "warning"
            what = f"{column.name}: {text}: nothing can be learnt from it"
            yield Finding("constant", (column.name,), (0,), what, severity)
