"""Cells without a value, and whether their absence goes with the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Cells, Check, Finding, Seen, first
from dapeng.core.kinds import checks
from dapeng.data.splits.base import codes

MUCH = 0.5
SURE = 4.0
"""Standard errors from which on absence goes with the answer."""
LEAST = 0.02
"""Difference of shares, or of means in standard deviations, that is worth a word."""
FEWEST = 10


@checks
class Missing(Check):
    """The share of missing cells by column, and what the answer is where they are missing."""

    type: Literal["missing"] = "missing"
    order: ClassVar[int] = 10

    def look(self, seen: Seen) -> Iterator[Finding]:
        targets = [c for c in seen.columns(("category", "number")) if c.target]
        for column in seen.columns():
            absent = column.absent()
            count = int(absent.sum())
            if not count or count == len(absent):
                continue
            share = count / len(absent)
            text = f"{column.name}: {count:,} of {len(absent):,} cells ({share:.1%}) are missing"
            severity: Literal["warning", "info"] = "warning" if share >= MUCH or column.target else "info"
            if column.target:
                text += ": such rows teach nothing and are not judged"
            tells = [] if column.target else [t for t in (_goes_with(absent, target) for target in targets) if t]
            if tells:
                severity, text = (
                    "warning",
                    f"{text}; {'; '.join(tells)}: the absence itself tells, will it be the same in use?",
                )
            yield Finding("missing", (column.name,), first(np.flatnonzero(absent), 3), text, severity)


def _goes_with(absent: np.ndarray, target: Cells) -> str:
    """How the answer differs where a cell is missing; nothing where that may be chance."""
    there = ~target.absent()
    gone, kept = absent & there, ~absent & there
    if min(gone.sum(), kept.sum()) < FEWEST:
        return ""
    if target.options.type == "number":
        return _means(target.name, target.numbers(), gone, kept)
    places, values = codes(target.cells)
    found = []
    for place, value in enumerate(values):
        if value in ("", None):
            continue
        shares = [float((places[rows] == place).mean()) for rows in (gone, kept)]
        both = float((places[gone | kept] == place).mean())
        error = np.sqrt(both * (1 - both) * (1 / gone.sum() + 1 / kept.sum()))
        gap = shares[0] - shares[1]  # of some label there are more than elsewhere
        if error > 0 and gap > SURE * error and gap > LEAST:
            found.append(
                (
                    gap,
                    f"{target.name} is {value!r} in {shares[0]:.0%} of these rows, and in {shares[1]:.0%} of the others",
                )
            )
    return max(found)[1] if found else ""


def _means(name: str, values: np.ndarray, gone: np.ndarray, kept: np.ndarray) -> str:
    means = [float(values[rows].mean()) for rows in (gone, kept)]
    spread = float(values[gone | kept].std())
    error = spread * np.sqrt(1 / gone.sum() + 1 / kept.sum())
    gap = abs(means[0] - means[1])
    if error > 0 and gap > SURE * error and gap > LEAST * spread:
        return f"{name} is {means[0]:.4g} on average in these rows, and {means[1]:.4g} in the others"
    return ""
