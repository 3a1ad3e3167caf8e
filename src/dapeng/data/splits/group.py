"""Whole groups at random: a patient, a user or a page is never on two sides."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pandas.core.util.hashing import hash_array
from pydantic import Field

from dapeng.core.errors import DataError
from dapeng.core.kinds import splits
from dapeng.data.splits.base import TEST, TRAIN, VALIDATION, Cells, Fractions, codes, draws
from dapeng.data.table import Note


@splits
class GroupSplit(Fractions):
    """By a hash of a group's name: all rows of a group are on one side."""

    by: Literal["group"] = "group"
    column: str = Field(min_length=1)
    """Column that names the group."""
    test_groups: list[str] = Field(default_factory=list)
    """Groups that test, by name (a speaker left out); all others train and validate, in the proportion of their shares."""
    validation_groups: list[str] = Field(default_factory=list)
    """Groups that validate, by name, and no others."""

    def assign(self, rows, cells, seed, target=None, *, given=None, notes: list[Note] | None = None) -> np.ndarray:
        groups, values = named_groups(cells(self.column), self.column, notes)
        if len(values) < 2:
            raise DataError(
                f"data.split: column {self.column!r} holds one group, which can't be split",
                hint="split by another column",
            )
        if self.test_groups or self.validation_groups:
            return self._named(groups, values, seed)[groups]
        return self._sides(groups, values, seed)[groups]

    def _named(self, groups: np.ndarray, values: list[object], seed: int) -> np.ndarray:
        """(groups,) int8: those that are named on their sides, the others by their hashes on what is left to them."""
        names = [str(v) for v in values]
        unknown = [n for n in [*self.test_groups, *self.validation_groups] if n not in names]
        if unknown:
            what = f"data.split: column {self.column!r} holds no {', '.join(map(repr, unknown))}"
            raise DataError(what, hint=f"one of {', '.join(names[:20])}")
        tests = np.isin(names, self.test_groups)
        validates = np.isin(names, self.validation_groups)
        train, validation, test = self.shares()
        shares = (train, 0.0 if self.validation_groups else validation, 0.0 if self.test_groups else test)
        rest = np.flatnonzero(~(tests | validates))
        sides = np.full(len(values), TRAIN, np.int8)
        inner = np.flatnonzero(np.isin(groups, rest))
        if len(rest) > 1 and len(inner):
            _, places = np.unique(groups[inner], return_inverse=True)
            left = (0.0, shares[1] / sum(shares), shares[2] / sum(shares))
            sides[rest] = self._by_hash(places, [values[i] for i in rest], seed, left)
        sides[validates], sides[tests] = VALIDATION, TEST
        return sides

    def _sides(self, groups: np.ndarray, values: list[object], seed: int) -> np.ndarray:
        return self._by_hash(groups, values, seed, self.shares())

    @staticmethod
    def _by_hash(groups: np.ndarray, values: list[object], seed: int, shares: tuple[float, float, float]) -> np.ndarray:
        """(groups,) int8: groups in the order of their hashes, filled up to the shares of rows."""
        _, *others = shares
        order = np.argsort(hashed(values, seed), kind="stable")
        sizes = np.bincount(groups, minlength=len(values))[order]
        middle = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
        sides = np.full(len(values), TRAIN, np.int8)
        sides[order[middle < others[0] + others[1]]] = VALIDATION
        sides[order[middle < others[1]]] = TEST
        return _none_empty(sides, order, others[1] > 0, others[0] > 0)


def _none_empty(sides: np.ndarray, order: np.ndarray, test: bool, validation: bool) -> np.ndarray:
    """With few groups a share may round to none: then the first groups of the order go there."""
    wanted = [TEST] * test + [VALIDATION] * validation
    if any((sides == w).sum() == 0 for w in [*wanted, TRAIN]):
        wanted = wanted[: len(sides) - 1]
        sides[:] = TRAIN
        sides[order[: len(wanted)]] = wanted
    return sides


def named_groups(cells: Cells, column: str, notes: list[Note] | None) -> tuple[np.ndarray, list[object]]:
    """Group of each row and their names; a row whose group is missing is a group of its own."""
    groups, values = codes(cells)
    if "" in values:
        groups = np.where(groups == values.index(""), -1, groups)
    lost = np.flatnonzero(groups < 0)
    if len(lost):
        groups[lost] = len(values) + np.arange(len(lost))
        values = values + [f"row {row}" for row in lost]
        if notes is not None:
            notes.append(
                Note("repair", column, f"{len(lost)} rows name no group: each is a group of its own", len(lost))
            )
        used, groups = np.unique(groups, return_inverse=True)
        values = [values[i] for i in used]
    return groups, values


def hashed(values: list[object], seed: int) -> np.ndarray:
    """(n,) uint64: a hash of each value's text under a seed, the same on every machine."""
    texts = np.array([str(v) for v in values], dtype=object)
    return draws(hash_array(texts, categorize=False), seed)
