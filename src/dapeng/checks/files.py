"""What checks of files that can't be read have in common: some cells, spread over the rows, are opened."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from dapeng.checks.base import SHOWN, Check, Finding, Seen
from dapeng.columns.cells import raw_cells
from dapeng.core.kinds import ColumnOptions


class FilesCheck(Check):
    """Base: `kinds` of columns are looked at, of each so `many` cells; `things` is what they are, in the plural."""

    order: ClassVar[int] = 50
    """After what is found without opening files."""
    kinds: ClassVar[tuple[str, ...]]
    many: ClassVar[int]
    things: ClassVar[str]

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(self.kinds):
            count = len(column.cells)
            rows = np.unique(np.linspace(0, count - 1, min(count, self.many)).astype(np.int64))
            cells = zip(rows, raw_cells(column.cells.take(pa.array(rows))))
            why = {int(r): self.refusal(c, column.options, seen.whole.base) for r, c in cells if c is not None}
            bad = [r for r, reason in why.items() if reason]
            if bad:
                text = f"{column.name}: {len(bad)} of {len(rows)} {self.things} looked at can't be read"
                shown = tuple(bad[:SHOWN])
                yield Finding("unreadable", (column.name,), shown, text, examples=tuple(why[r] for r in shown))

    @abstractmethod
    def refusal(self, cell: Any, options: ColumnOptions, base: Path | None) -> str:
        """Why a cell, a path or bytes, can't be read; empty where it can. base: the folder of relative paths."""
