"""Splits are complete, disjoint, stable, keep groups whole and classes in proportion."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dapeng.columns.category import Category
from dapeng.core.errors import DapengError
from dapeng.core.kinds import splits
from dapeng.data.choose_split import choose_split
from dapeng.data.splits.cross_validation import CrossValidation
from dapeng.data.splits.given import GivenSplit
from dapeng.data.splits.group import GroupSplit
from dapeng.data.splits.random import EXACT, RandomSplit
from dapeng.data.splits.stratified import StratifiedSplit
from dapeng.data.splits.time import TimeSplit
from dapeng.data.table import Note


def column(values) -> object:
    return lambda name: pa.array(values)


def table(rows: int):
    """Any column that a split may ask for, as a function of the row alone."""
    columns = {
        "label": [f"c{i * i % 7}" for i in range(rows)],
        "group": [f"g{i % 23}" for i in range(rows)],
        "when": [f"2026-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(rows)],
        "part": [("train", "val", "test")[i % 3] for i in range(rows)],
    }
    return lambda name: pa.array(columns[name])


EVERY = [
    RandomSplit(),
    StratifiedSplit(),
    GroupSplit(column="group"),
    TimeSplit(column="when"),
    GivenSplit(),
    CrossValidation(group="group"),
    CrossValidation(),
    splits.members()["column"](column="part"),
]


@pytest.mark.parametrize("split", EVERY, ids=lambda s: s.by)
@settings(max_examples=30, deadline=None)
@given(rows=st.integers(60, 3000), seed=st.integers(0, 2**31 - 1))
def test_every_row_is_on_one_side_the_same_each_time(split, rows: int, seed: int) -> None:
    given_parts = np.arange(rows) % 2 * 2
    first = split.assign(rows, table(rows), seed, "label", given=given_parts)
    again = split.assign(rows, table(rows), seed, "label", given=given_parts)
    assert first.shape == (rows,)
    assert first.dtype == np.int8
    assert set(np.unique(first)) == {0, 1, 2}
    assert np.array_equal(first, again)


def test_a_split_asks_for_no_column_that_it_does_not_need() -> None:
    asked: list[str] = []

    def cells(name: str) -> pa.Array:
        asked.append(name)
        return table(3000)(name)

    for split in EVERY:
        split.assign(3000, cells, 0, "label", given=np.zeros(3000, np.int8))
    assert set(asked) <= {"label", "group", "when", "part"}
    RandomSplit().assign(3000, lambda name: pytest.fail("random needs no column"), 0, "label")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=40, max_size=400), st.integers(0, 1000))
def test_groups_are_never_on_two_sides(groups: list[int], seed: int) -> None:
    if len(set(groups)) < 2:
        return
    sides = GroupSplit(column="g").assign(len(groups), column(groups), seed)
    for group in set(groups):
        assert len({s for s, g in zip(sides, groups) if g == group}) == 1
    wanted = {0, 1, 2} if len(set(groups)) >= 3 else {0, 2}
    assert set(sides) == wanted


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    notes: list[Note] = []
    sides = GroupSplit(column="g").assign(200, column(["a", None] * 100), 0, notes=notes)
    assert len(set(sides[::2])) == 1
    assert notes[0].count == 100


def test_a_group_keeps_its_side_whatever_order_the_rows_come_in() -> None:
    names = np.array([f"user {i % 50}" for i in range(2000)])
    sides = GroupSplit(column="g").assign(2000, column(names), 3)
    order = np.random.default_rng(0).permutation(2000)
    assert np.array_equal(GroupSplit(column="g").assign(2000, column(names[order]), 3), sides[order])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.integers(0, 1000))
def test_classes_keep_their_proportions_to_within_a_row(sizes: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    if len(labels) < 10:
        return
    sides = StratifiedSplit().assign(len(labels), column(labels), seed, "y")
    for label, size in enumerate(sizes):
        counts = np.bincount(sides[labels == label], minlength=3)
        assert counts[0] > 0
        assert np.all(np.abs(counts - size * np.array([0.8, 0.1, 0.1])) <= 1.6)


def test_t24_a_class_with_one_row_stays_in_train_and_is_named() -> None:
    notes: list[Note] = []
    labels = ["a", "b"] * 50 + ["alone"]
    sides = StratifiedSplit().assign(101, column(labels), 0, "y", notes=notes)
    assert sides[-1] == 0
    assert "'alone'" in notes[0].what


def test_random_shares_are_exact_for_small_tables() -> None:
    assert np.bincount(RandomSplit().assign(1000, column([]), 0)).tolist() == [800, 100, 100]


def test_random_works_in_blocks_without_knowing_the_number_of_rows() -> None:
    split = RandomSplit()
    whole = split.assign(EXACT + 5, column([]), 7)
    parts = [split.block(0, 700_000, 7), split.block(700_000, EXACT + 5 - 700_000, 7)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert abs((whole == 2).mean() - 0.1) < 0.002


def test_the_future_never_trains() -> None:
    days = [f"2026-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(500)]
    sides = TimeSplit(column="when").assign(500, column(days), 0)
    latest, earliest = max(d for d, s in zip(days, sides) if s == 0), min(d for d, s in zip(days, sides) if s > 0)
    assert latest < earliest


def test_a_time_that_is_none_is_an_error_with_an_example() -> None:
    with pytest.raises(DapengError, match="'soon'"):
        TimeSplit(column="when").assign(3, column(["2026-01-01", "soon", "later"]), 0)


def test_given_parts_are_kept_and_a_tenth_of_train_validates() -> None:
    notes: list[Note] = []
    parts = np.repeat([0, 2], [60_000, 10_000])
    sides = GivenSplit().assign(70_000, column([]), 0, given=parts, notes=notes)
    assert np.array_equal(sides == 2, parts == 2)
    assert (sides == 1).sum() == 6_000
    assert "none were given" in notes[0].what
    assert (GivenSplit().assign(500_000, column([]), 0, given=np.repeat([0, 2], 250_000)) == 1).sum() == 10_000


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 10), st.integers(30, 500), st.integers(0, 100))
def test_every_row_tests_once_and_folds_are_alike(folds: int, rows: int, seed: int) -> None:
    labels = [i % 3 for i in range(rows)]
    split = CrossValidation(folds=folds)
    places = split.folds_of(rows, column(labels), seed, "y")
    counts = np.bincount(places, minlength=folds)
    assert counts.max() - counts.min() <= 1
    tested = sum((split.sides(places, f) == 2).astype(int) for f in range(folds))
    assert np.array_equal(tested, np.ones(rows, int))
    for fold in range(folds):
        in_fold = np.bincount(np.array(labels)[places == fold], minlength=3)
        assert in_fold.max() - in_fold.min() <= 2


def test_folds_keep_groups_whole() -> None:
    groups = [f"g{i % 17}" for i in range(300)]
    places = CrossValidation(group="g").folds_of(300, column(groups), 0)
    assert all(len({p for p, g in zip(places, groups) if g == group}) == 1 for group in set(groups))
    assert np.bincount(places).min() > 30


def test_shares_that_do_not_add_up_are_an_error() -> None:
    with pytest.raises(DapengError, match="add up to"):
        RandomSplit(train=0.5).assign(100, column([]), 0)


@pytest.mark.parametrize(
    ("rows", "target", "parts", "options", "by"),
    [
        (150, Category(), ("all",), {}, "cross_validation"),
        (5000, Category(), ("all",), {}, "stratified"),
        (5000, None, ("all",), {}, "random"),
        (1797, Category(), ("all",), {"table": False}, "stratified"),
        (150, Category(), ("train", "test"), {}, "given"),
        (5000, Category(), ("all",), {"roles": {"patient": "group"}}, "group"),
        (5000, None, ("all",), {"roles": {"day": "time"}}, "time"),
    ],
)
def test_the_default_split_follows_from_the_data(rows: int, target, parts, options, by: str) -> None:
    split, reason = choose_split(rows, target, parts, **options)
    assert split.by == by
    assert reason
