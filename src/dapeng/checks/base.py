"""What a check sees and what it says.

A check is one file beside this one: a class that registers itself and yields findings. `dapeng check` runs all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from dapeng.columns.base import strings
from dapeng.columns.category import labelled
from dapeng.columns.number import parse
from dapeng.core.kinds import CheckOptions, ColumnOptions
from dapeng.data.table import PARTS, Source

Severity = Literal["error", "warning", "info"]
SHOWN = 5
"""Example rows of a finding."""


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing.

    rows: positions of examples in the whole data. examples: what to show beside each of them, such as the cell. where: each as
    the file names it ("reviews.csv:17").
    """

    kind: str
    columns: tuple[str, ...]
    rows: tuple[int, ...]
    text: str
    severity: Severity = "warning"
    examples: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Cells:
    """One column of the rows that are looked at."""

    name: str
    cells: pa.ChunkedArray
    options: ColumnOptions
    target: bool

    @property
    def plain(self) -> bool:
        """False for bytes and nested values."""
        return not (pa.types.is_binary(self.cells.type) or pa.types.is_nested(self.cells.type))

    def absent(self) -> np.ndarray:
        """(rows,) bool: cells without a value, as the column's options tell it."""
        missing = getattr(self.options, "missing", None)
        if self.options.type == "number":
            return ~parse(self.cells, missing, getattr(self.options, "decimal", "."))[1]
        if not self.plain:
            return np.asarray(self.cells.combine_chunks().is_null().to_numpy(zero_copy_only=False), bool)
        labels, indices = labelled(self.cells, missing or [])
        return np.array([label is None for label in labels] + [True])[indices]

    def numbers(self) -> np.ndarray:
        """(rows,) float64, nan where there is none."""
        return parse(self.cells, getattr(self.options, "missing", None), getattr(self.options, "decimal", "."))[0]

    def texts(self) -> list[str | None]:
        return strings(self.cells).to_pylist()


@dataclass
class Seen:
    """The rows that are looked at, and what each column is for.

    table: their cells. places: (rows,) positions in the whole data. sides: (rows,) the side of the split that training would use, or
    the fold; None where it is not known. folds: whether `sides` are folds. whole: all rows, for checks that look at more.
    seconds: what a dear check may take (CPU); 0: it is left out.
    """

    table: pa.Table
    inputs: Mapping[str, ColumnOptions]
    outputs: Mapping[str, ColumnOptions]
    places: np.ndarray
    whole: Source
    sides: np.ndarray | None = None
    folds: bool = False
    seconds: float = 0.0
    seed: int = 0
    notes: list[str] = field(default_factory=list)
    """What was not looked at, and why."""

    def columns(self, kinds: Iterable[str] | None = None, targets: bool = True) -> Iterator[Cells]:
        """The columns that are there, of some types or all; inputs first. Of some types: those that can be read as such."""
        wanted = None if kinds is None else set(kinds)
        for target, group in ((False, self.inputs), (True, self.outputs if targets else {})):
            for name, options in group.items():
                if name in self.table.column_names and (wanted is None or options.type in wanted):
                    found = Cells(name, self.table.column(name), options, target)
                    if wanted is None or found.plain or options.reads_files:
                        yield found

    @property
    def read(self) -> list[str]:
        """Inputs that are there."""
        return [n for n in self.inputs if n in self.table.column_names]

    def across(self, group: np.ndarray) -> Iterator[tuple[str, np.ndarray, float]]:
        """Rows (N,) of equal things, by the code of each, that stand on two sides: words, the rows beyond train, their share."""
        if self.sides is None or not len(group):
            return
        known = self.sides >= 0
        if self.folds:
            several = _several(group[known], self.sides[known], int(group.max()) + 1)
            rows = np.flatnonzero(known & several[group])
            if len(rows):
                yield "rows of one fold", rows, len(rows) / max(int(known.sum()), 1)
            return
        train = np.zeros(int(group.max()) + 1, bool)
        train[group[self.sides == 0]] = True
        for code, name in enumerate(PARTS[1:], 1):
            rows = np.flatnonzero((self.sides == code) & train[group])
            if len(rows):
                yield f"rows of {name}", rows, len(rows) / int((self.sides == code).sum())

    @property
    def elsewhere(self) -> str:
        """Where the equals of such rows are."""
        return "another fold" if self.folds else "train"


def _several(group: np.ndarray, sides: np.ndarray, count: int) -> np.ndarray:
    """(count,) bool: groups whose rows are on more than one side."""
    low, high = np.full(count, 1 << 30), np.full(count, -1)
    np.minimum.at(low, group, sides)
    np.maximum.at(high, group, sides)
    return high > low


class Check(CheckOptions):
    """A registered check; its tag is the kind of its findings, or of the first of them."""

    def look(self, seen: Seen) -> Iterable[Finding]:
        raise NotImplementedError


def quoted(value: object, most: int = 60) -> str:
    """A cell as an example: in quotes, characters that can't be seen written out."""
    text = str(value)
    shown = text if len(text) <= most else text[: most - 1] + "…"
    return repr(shown) if all(c.isprintable() for c in shown) else ascii(shown)


def first(rows: np.ndarray, most: int = SHOWN) -> tuple[int, ...]:
    """The first of some rows, as plain numbers."""
    return tuple(int(r) for r in rows[:most])
