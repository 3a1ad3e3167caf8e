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
from dapeng.data.choose_split import INNER, choose_split
from dapeng.data.open import Opened
from dapeng.data.positions import counts
from dapeng.data.splits.cross_validation import CrossValidation
from dapeng.data.splits.given import GivenSplit
from dapeng.data.table import Note, Source

INNER_FOLDS = 4
"""Folds that choose epochs, settings and shares where rows that train are few and rows that test are given."""


@dataclass
class Parts:
    """sides: (rows,) int8, 0 train, 1 validation, 2 test, of the only fold; folds: (rows,) the fold that tests each row."""

    split: Any
    reason: str
    sides: np.ndarray
    folds: np.ndarray | None = None
    notes: list[Note] = field(default_factory=list)
    held: bool = False
    """Whether rows outside of all folds test the last training; the folds then only choose."""

    def each(self) -> Iterator[np.ndarray]:
        """The sides of every fold; -1 for rows that no fold may see."""
        if self.folds is None:
            yield self.sides
            return
        for fold in range(int(self.folds.max()) + 1):
            yield np.where(self.folds < 0, np.int8(-1), self.split.sides(self.folds, fold))

    @property
    def final(self) -> np.ndarray | None:
        """The sides of the training after all folds; None where every row trains."""
        return self.sides if self.held else None

    @property
    def count(self) -> int:
        return 1 if self.folds is None else int(self.folds.max()) + 1

    def describe(self) -> str:
        if self.folds is not None and self.held:
            train, _, test = counts(self.sides)
            return f"{train:,} rows train, {self.count} folds of which choose; {test:,} test"
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
        table = all(o.tabular for o in [*chosen.inputs.values(), *chosen.outputs.values()])
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
    if _inner(split, spec, given, chosen):
        return _chosen_by_folds(rows, given, cells, seed, name if category else None, reason)
    sides = split.assign(rows, cells, seed, name if category else None, given=given, notes=notes)
    if not (sides == 0).any():
        raise DataError("no row is left to train on", hint="look at data.split")
    return Parts(split, reason, sides, None, notes)


def _tabular(chosen: Chosen) -> bool:
    """Whether models of these columns are cheap enough to be trained several times."""
    return all(o.tabular for o in chosen.inputs.values()) and not any(o.drawn for o in chosen.outputs.values())


def _inner(split: Any, spec: Spec, given: np.ndarray | None, chosen: Chosen) -> bool:
    """Whether the rows that train are too few to spare some for choosing, and rows to test on are given."""
    if not isinstance(split, GivenSplit) or given is None or spec.data.split is not None:
        return False
    train, validation, test = counts(given)
    tabular = _tabular(chosen)
    plain = (
        spec.train.strategy == "single" and spec.model == "auto" and not spec.train.pretrain and not spec.train.phases
    )
    return plain and tabular and not validation and bool(test) and INNER_FOLDS * 8 <= train < INNER


def _chosen_by_folds(
    rows: int, given: np.ndarray | None, cells: Any, seed: int, target: str | None, reason: str
) -> Parts:
    """Folds of the rows that train; the rows that test are in none."""
    assert given is not None
    train = np.flatnonzero(given == 0)
    split = CrossValidation(folds=INNER_FOLDS, stratified=target is not None)
    folds = np.full(rows, -1, np.int8)
    folds[train] = split.folds_of(len(train), lambda column: cells(column).take(pa.array(train)), seed, target)
    reason = reason.partition(";")[0] + "; folds of train choose, since it is small"
    return Parts(split, reason, np.asarray(given, np.int8), folds, held=True)
