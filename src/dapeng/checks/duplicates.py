"""Rows whose inputs are equal: on two sides of the split, or with different answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Check, Finding, Seen, first
from dapeng.core.kinds import checks
from dapeng.data.row_hashes import row_hashes


@checks
class Duplicates(Check):
    """Equal inputs: repeated (`duplicates`), on both sides of the split (`split`), with another answer (`conflict`)."""

    type: Literal["duplicates"] = "duplicates"
    order: ClassVar[int] = 40

    def look(self, seen: Seen) -> Iterator[Finding]:
        inputs = seen.read
        if not inputs or not seen.table.num_rows:
            return
        keys = row_hashes(seen.table.select(inputs))
        _, start, group, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        again = counts[group] > 1
        if not again.any():
            return
        twice = np.flatnonzero(again)
        twice = twice[np.argsort(start[group[twice]], kind="stable")]  # equals stand together
        extra = len(keys) - len(start)
        text = f"{extra:,} rows repeat the inputs of another row"
        yield Finding("duplicates", tuple(inputs), first(twice), text, "info", _equals(seen, twice, start, group))
        for what, rows, share in seen.across(group):
            text = f"{len(rows):,} {what} ({share:.1%}) are in {seen.elsewhere} too: the score will flatter"
            yield Finding("split", tuple(inputs), first(rows), text, examples=_partners(seen, rows, group))
        yield from _conflicts(seen, group, counts, len(start))


def _equals(seen: Seen, rows: np.ndarray, start: np.ndarray, group: np.ndarray) -> tuple[str, ...]:
    """For a few rows the first that it equals."""
    firsts = [int(start[group[r]]) for r in first(rows)]
    return tuple("the first of its kind" if f == r else f"as {_where(seen, f)}" for r, f in zip(first(rows), firsts))


def _partners(seen: Seen, rows: np.ndarray, group: np.ndarray) -> tuple[str, ...]:
    """For a few rows an equal one on another side."""
    assert seen.sides is not None
    out = []
    for row in first(rows):
        others = np.flatnonzero((group == group[row]) & (seen.sides != seen.sides[row]) & (seen.sides >= 0))
        others = others if seen.folds else others[seen.sides[others] == 0]
        out.append(f"as {_where(seen, int(others[0]))} of {seen.elsewhere}")
    return tuple(out)


def _where(seen: Seen, row: int) -> str:
    return seen.whole.where(int(seen.places[row]))


def _conflicts(seen: Seen, group: np.ndarray, counts: np.ndarray, distinct: int) -> Iterator[Finding]:
    outputs = [n for n in seen.outputs if n in seen.table.column_names]
    if not outputs:
        return
    labels = row_hashes(seen.table.select(outputs))
    pairs = np.unique(np.stack([group.astype(np.uint64), labels]), axis=1)
    different = pairs.shape[1] - distinct
    if not different:
        return
    torn = np.bincount(pairs[0].astype(np.int64), minlength=distinct) > 1
    rows = np.flatnonzero(torn[group])
    rows = rows[np.argsort(group[rows], kind="stable")]
    answers = seen.table.select(outputs).take(list(first(rows))).to_pylist()
    shown = tuple(", ".join(f"{k}: {v!r}" for k, v in a.items()) for a in answers)
    yield Finding(
        "conflict",
        tuple(outputs),
        first(rows),
        f"{different:,} rows have equal inputs and another answer",
        examples=shown,
    )
