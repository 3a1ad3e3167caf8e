"""Numbers far outside what is usual in their column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Check, Finding, Seen, first
from dapeng.columns.fences import fences
from dapeng.core.kinds import checks

FEWEST = 30


@checks
class Outliers(Check):
    """Cells beyond fences that the median and the outer sixteenths set: they don't move when a few cells are wrong."""

    type: Literal["outliers"] = "outliers"
    order: ClassVar[int] = 20

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("number",)):
            values = column.numbers()
            there = np.sort(values[~np.isnan(values)])
            bounds = fences(there)
            if bounds is None or len(there) < FEWEST:
                continue
            middle = float(np.median(there))
            far = np.flatnonzero((values < bounds[0]) | (values > bounds[1]))
            if not len(far):
                continue
            far = far[np.argsort(-np.abs(values[far] - middle), kind="stable")]
            many = f"{len(far):,} cells ({len(far) / len(there):.2%})"
            usual = f"{max(bounds[0], there[0]):,.6g} to {min(bounds[1], there[-1]):,.6g}, median {middle:,.6g}"
            text = f"{column.name}: {many} lie far outside what is usual ({usual})"
            if not column.target:
                text += f"; inputs.{column.name}.outliers=clip moves them to the fence"
            shown = tuple(f"{values[r]:,.10g}" for r in first(far))
            yield Finding("outliers", (column.name,), first(far), text, "info", shown)
