"""Which rows train, validate and test; one fold, or several that test each row once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.api.columns import Chosen
from dapeng.core.errors import DataError
from dapeng.core.spec import Spec
from dapeng.data.choose_split import choose_split
from dapeng.data.open import Opened
from dapeng.data.positions import counts
from dapeng.data.splits.cross_validation import CrossValidation
from dapeng.data.table import Note, Source


@dataclass
class Parts:
    """sides: (rows,) int8, 0 train, 1 validation, 2 test, of the only fold; folds: (rows,) the fold that tests each row."""

    split: Any
    reason: str
    sides: np.ndarray
    folds: np.ndarray | None = None
    notes: list[Note] = field(default_factory=list)

    def each(self) -> Iterator[np.ndarray]:
        """The sides of every fold."""
        if self.folds is None:
            yield self.sides
            return
        for fold in range(int(self.folds.max()) + 1):
            yield self.split.sides(self.folds, fold)

    @property
    def count(self) -> int:
        return 1 if self.folds is None else int(self.folds.max()) + 1

    def describe(self) -> str:
        if self.folds is not None:
            return f"{len(self.folds):,} rows in {self.count} folds; each row is tested by a model that has not seen it"
        train, validation, test = counts(self.sides)
        return f"{train:,} rows train, {validation:,} validate, {test:,} test"


def split_rows(spec: Spec, chosen: Chosen, opened: Opened, source: Source, rows: int) -> Parts:
    """The spec's split, or the one that suits the data. Raises DataError if a part would be empty."""
    name, options = next(iter(chosen.outputs.items()))
    category = options.labelled
    given = opened.given()
    split: Any = spec.data.split
    if split is None:
        table = all(o.tabular for o in chosen.inputs.values())
        split, reason = choose_split(
            rows, options, list(opened.parts), table=table, roles={c: r for r, c in chosen.roles.items()}
        )
    else:
        reason = "as the spec says"

    def cells(column: str) -> pa.ChunkedArray:
        return (source if column in source.names else opened.whole()).read([column]).column(column)

    notes: list[Note] = []
    seed = spec.train.seed
    if isinstance(split, CrossValidation):
        folds = split.folds_of(rows, cells, seed, name if category else None)
        return Parts(split, reason, split.sides(folds, 0), folds, notes)
    sides = split.assign(rows, cells, seed, name if category else None, given=given, notes=notes)
    if not (sides == 0).any():
        raise DataError("no row is left to train on", hint="look at data.split")
    return Parts(split, reason, sides, None, notes)
