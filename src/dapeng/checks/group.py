"""Inputs whose values name what several rows have in common: a patient, a user, a shop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Check, Finding, Seen, first, quoted
from dapeng.core.kinds import checks
from dapeng.data.group_ids import like_group
from dapeng.data.splits.base import codes


@checks
class Groups(Check):
    """Ids of groups of rows, which a split must not tear apart."""

    type: Literal["group"] = "group"
    order: ClassVar[int] = 20

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(targets=False):
            why = like_group(column.name, column.cells) if column.plain and not column.options.reads_files else ""
            if not why:
                continue
            places, values = codes(column.cells)
            if len([v for v in values if v not in ("", None)]) < 2:
                continue
            text = f"{column.name}: {why.partition(':')[0]}: its rows can fall on both sides of the split, and the score then flatters"
            rows = first(np.flatnonzero(places == places[np.argmax(places >= 0)]), 3)
            shown = tuple(quoted(values[places[r]]) for r in rows)
            what = f"{text}; `columns: {{{column.name}: group}}` keeps them together"
            yield Finding("group", (column.name,), rows, what, examples=shown)
