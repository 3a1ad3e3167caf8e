"""Which split a data set gets where the spec doesn't say, and why."""

from __future__ import annotations

from collections.abc import Iterable

from dapeng.core.kinds import ColumnOptions
from dapeng.data.splits.base import Split
from dapeng.data.splits.cross_validation import CrossValidation
from dapeng.data.splits.given import GivenSplit
from dapeng.data.splits.group import GroupSplit
from dapeng.data.splits.random import RandomSplit
from dapeng.data.splits.stratified import StratifiedSplit
from dapeng.data.splits.time import TimeSplit

SMALL = 2_000
"""Rows under which a tenth is too few to tell models apart."""
INNER = 4_000
"""Training rows under which, where rows to test on are given, folds of them choose epochs, settings and shares."""
LARGE = 4_000_000
"""Rows above which a tenth is more than figures need, and chance alone keeps classes in proportion."""
VALIDATES, TESTS = 100_000, 500_000


def choose_split(
    rows: int,
    target: ColumnOptions | None,
    parts: Iterable[str] = ("all",),
    *,
    table: bool = True,
    roles: dict[str, str] | None = None,
) -> tuple[Split, str]:
    """A split, and the reason for the user.

    target: options of the first output column. parts: names of the parts that the data came in. table: False where a model
    is too dear to be trained once a fold (pictures, texts). roles: of columns; a group or a time leads to a split by it.
    """
    given = [p for p in parts if p != "all"]
    category = target is not None and target.labelled
    if given:
        missing = [p for p in ("validation", "test") if p not in given]
        return GivenSplit(), f"the data comes in parts ({', '.join(given)})" + (
            f"; {' and '.join(missing)} out of train" if missing else ""
        )
    named = {role: column for column, role in (roles or {}).items()}
    if "time" in named:
        return TimeSplit(column=named["time"]), f"{named['time']} is a time: the future is what a model meets"
    if table and rows < SMALL:
        folds = CrossValidation(stratified=category, group=named.get("group"), folds=min(5, max(2, rows)))
        return folds, f"{rows:,} rows are too few to spare a part: every row tests once"
    if "group" in named:
        return GroupSplit(column=named["group"]), f"rows of one {named['group']} belong together"
    if rows > LARGE:
        validation, test = (min(0.1, most / rows) for most in (VALIDATES, TESTS))
        split = RandomSplit(train=1 - validation - test, validation=validation, test=test)
        return split, f"of {rows:,} rows, {VALIDATES:,} to validate and {TESTS:,} to test are plenty"
    if category:
        return StratifiedSplit(), "the output is a category: every part gets its classes in proportion"
    return RandomSplit(), "80 % train, 10 % validate, 10 % test"
