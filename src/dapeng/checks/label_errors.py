"""Labels that are probably wrong, by learners that have not seen the rows (`dapeng.evaluate.label_errors`)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Cells, Check, Finding, Seen
from dapeng.core.kinds import checks
from dapeng.data.prepare import fit_columns
from dapeng.data.table import Frame
from dapeng.evaluate.label_errors import FEWEST, MOST, Suspects, suspects

SHOWN = 10
TRIED = 200
"""Rows that are read to tell how long all will take."""


@checks
class LabelErrors(Check):
    """The most doubtful labels of each category output, and how many confident learning calls wrong.

    Paper: Northcutt, Jiang, Chuang, 2019, https://arxiv.org/abs/1911.00068
    """

    type: Literal["label_errors"] = "label_errors"
    order: ClassVar[int] = 90

    def look(self, seen: Seen) -> Iterator[Finding]:
        targets = [c for c in seen.columns(("category",)) if c.target]
        for column in targets if seen.seconds else ():
            why = _too_much(seen, seen.seconds / len(targets))
            if why:
                seen.notes.append(f"{column.name}: wrong labels are not looked for: {why}")
                continue
            inputs = {n: o for n, o in seen.inputs.items() if n in seen.table.column_names}
            found = suspects(inputs, column.name, column.options, seen.whole, seen.seconds / len(targets), seen.seed)
            if found is not None:
                yield from _told(column, found, seen)


def _too_much(seen: Seen, seconds: float) -> str:
    """Why the rows are not worth a look, or can't be looked at in that time."""
    rows = seen.whole.count()
    if rows > MOST:
        return f"{rows:,} rows are more than {MOST:,}"
    if rows < FEWEST:
        return f"{rows:,} rows are too few"
    began = time.process_time()
    names = seen.read
    some = Frame(seen.table.select(names).slice(0, TRIED), base=seen.whole.base)
    columns = fit_columns(some, {n: (seen.inputs[n], False) for n in names}, lambda start, count: np.ones(count, bool))
    for name, column in columns.items():
        column.matrix(some.table.column(name), some.base)
    needed = (time.process_time() - began) * rows / max(some.count(), 1)
    return f"reading {rows:,} rows would take about {needed:.0f} seconds" if needed > 2 * seconds else ""


def _told(column: Cells, found: Suspects, seen: Seen) -> Iterator[Finding]:
    rows = len(found.rows)
    if not found.telling:
        said = "a quick learner is right in {:.0%} of the rows, the commonest label in {:.0%}".format(*found.right)
        seen.notes.append(f"{column.name}: wrong labels can't be told from hard rows: {said}")
        return
    at = {int(place): row for row, place in enumerate(seen.places)}
    shown = [i for i in found.called if int(found.rows[i]) in at][:SHOWN]
    if shown:
        many = f"{found.count:,} of {rows:,} labels ({found.count / rows:.1%})"
        text = f"{column.name}: {many} are called wrong by confident learning; look at them; where they are wrong, not merely hard, data.label_errors=drop leaves them out of training"
        places = tuple(at[int(found.rows[i])] for i in shown)
        each = tuple(f"{found.labels[i]!r}, likely {found.likely[i]!r}" for i in shown)
        yield Finding("label_errors", (column.name,), places, text, "warning", each)
