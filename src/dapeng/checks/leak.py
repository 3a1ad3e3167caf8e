"""Inputs that are the answer in another form."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, where no type checker sees them)

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dapeng.checks.base import Check, Finding, Seen
from dapeng.columns.base import strings
from dapeng.columns.number import parse
from dapeng.core.kinds import checks
from dapeng.data.splits.base import codes

LEAK = 0.99


@checks
class Leak(Check):
    """A correlation, or a rule, of 0.99 and more between an input and an output."""

    type: Literal["leak"] = "leak"
    order: ClassVar[int] = 40
    always: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterator[Finding]:
        for target in seen.columns(("category", "number")):
            if not target.target:
                continue
            goal = Axis(target.cells, target.options.type)
            for column in seen.columns(targets=False):
                if not column.plain or column.options.reads_files:
                    continue
                strength, how = _determines(Axis(column.cells, _axis_kind(column.cells)), goal)
                if strength >= LEAK:
                    what = f"{column.name}: {how} {target.name} ({strength:.3f}): a copy of the answer?"
                    pairs = zip(column.cells[:3].to_pylist(), target.cells[:3].to_pylist())
                    shown = tuple(f"{str(a)[:30]!r} beside {b!r}" for a, b in pairs)
                    text = f"{what} Leave it out unless it is known beforehand"
                    yield Finding("leak", (column.name, target.name), tuple(range(len(shown))), text, examples=shown)


def _axis_kind(column: pa.ChunkedArray) -> str:
    array = strings(column)
    filled = array.filter(pc.fill_null(pc.not_equal(array, ""), False))[:1000]
    _, there, bad = parse(filled, None, ".")
    return "number" if len(there) and len(bad.rows) < 0.05 * len(there) else "category"


class Axis:
    """A column as numbers (nan where missing) or as codes (-1 where missing)."""

    def __init__(self, column: pa.ChunkedArray, kind: str):
        self.numbers = parse(column, None, ".")[0] if kind == "number" else None
        self.codes, values = codes(column)
        if "" in values:
            self.codes = np.where(self.codes == values.index(""), -1, self.codes)


def _determines(one: Axis, goal: Axis) -> tuple[float, str]:
    """How closely a column gives the target away: 0 to 1."""
    if one.numbers is not None and goal.numbers is not None:
        both = np.isfinite(one.numbers) & np.isfinite(goal.numbers)
        if both.sum() >= 10 and np.ptp(one.numbers[both]) > 0 and np.ptp(goal.numbers[both]) > 0:
            x, y = pd.Series(one.numbers[both]), pd.Series(goal.numbers[both])
            return max(abs(x.corr(y)), abs(x.rank().corr(y.rank()))), "correlates with"
        return 0.0, ""
    if goal.numbers is not None:
        return 0.0, ""
    return _rule(one, goal.codes), "almost determines"


def _rule(one: Axis, goal: np.ndarray) -> float:
    """Gain over the commonest class of a rule that is learnt on half of the rows and tested on the others."""
    there = (one.codes >= 0) & (goal >= 0) & (np.isfinite(one.numbers) if one.numbers is not None else True)
    goal = goal[there]
    if len(goal) < 20:
        return 0.0
    half = np.random.default_rng(0).random(len(goal)) < 0.5
    many = one.numbers is not None and len(np.unique(one.codes)) > 256
    given = one.numbers[there] if many and one.numbers is not None else one.codes[there]
    guessed = (_nearest if many else _commonest)(given[half], goal[half], given[~half])
    accuracy = float((guessed == goal[~half]).mean())
    base = float(np.bincount(goal).max() / len(goal))
    return (accuracy - base) / (1 - base) if base < 1 else 0.0


def _commonest(given: np.ndarray, goal: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The commonest class beside each value; -1 for a value that wasn't seen."""
    pairs, counts = np.unique(np.stack([given, goal]), axis=1, return_counts=True)
    order = np.lexsort((counts, pairs[0]))
    known = np.full(int(max(given.max(), asked.max())) + 1, -1, np.int64)
    known[pairs[0][order]] = pairs[1][order]  # the last one written is the commonest
    return known[asked]


def _nearest(given: np.ndarray, goal: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The class of the nearest number."""
    order = np.argsort(given, kind="stable")
    given, goal = given[order], goal[order]
    right = np.searchsorted(given, asked).clip(1, len(given) - 1)
    left = asked - given[right - 1] <= given[right] - asked
    return goal[np.where(left, right - 1, right)]
