"""Sets of labels and vectors of numbers: how cells are read, what is found by fitting, what is bad, what is guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dapeng.columns.set import Set, SetColumn
from dapeng.columns.thresholds import best_threshold
from dapeng.columns.vector import Vector, VectorColumn
from dapeng.data.infer import guess


def set_of(cells: Any, target: bool = False, **options: Any) -> SetColumn:
    made = Set(**options)
    summary = made.summary(target)
    summary.add(pa.array(cells))
    return made.fitted("tags", summary.result(), target)


def vector_of(cells: Any, **options: Any) -> VectorColumn:
    made = Vector(**options)
    summary = made.summary(True)
    summary.add(pa.array(cells))
    return made.fitted("v", summary.result(), True)


def members(column: SetColumn, cells: Any) -> list[Any]:
    flags = column.encode(pa.array(cells)).tensors["labels"]
    return [[column.labels[i] for i in np.flatnonzero(row)] for row in flags]


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["a;b", "b", "c; a"], ";"),
        (["a|b", "b", "c | a"], "|"),
        (["a, b", "b", "c,a"], ","),
        (["a、b", "b", "c、a"], "、"),
        (["Smith, J; Doe, K", "Doe, K"], ";"),
        (["a b", "b", "c a"], " "),
    ],
)
def test_the_separator_is_found_and_blanks_around_labels_are_none(cells: list[str], separator: str) -> None:
    column = set_of(cells, target=True)
    assert column.state["separator"] == separator
    assert members(column, cells[:1])[0] == sorted(members(column, cells[:1])[0], key=column.labels.index)
    assert "Smith, J" in column.labels if "Smith" in cells[0] else sorted(column.labels) == ["a", "b", "c"]


def test_lists_of_any_kind_hold_the_same_labels() -> None:
    column = set_of(["a;b", "b;c"], target=True)
    assert members(column, ['["a", "b"]', "['b', 'a']", "a;b;a", " b ;a"]) == [members(column, ["a;b"])[0]] * 4
    assert members(column, [["a", "b"], ["b", "a", None]]) == [members(column, ["a;b"])[0]] * 2
    assert sorted(set_of([[1.0, 2.0], [2.0]]).labels) == ["1", "2"]


def test_an_empty_cell_is_missing_or_the_empty_set_and_an_empty_list_is_always_the_empty_set() -> None:
    cells = ["a;b", "", None, "[]", "b"]
    encoded = set_of(cells, target=True).encode(pa.array(cells))
    assert encoded.present is not None
    assert encoded.present.tolist() == [True, False, False, True, True]
    assert set_of(cells, target=True, empty="set").encode(pa.array(cells)).present is None
    named = set_of(["a;b", "?"], target=True, missing=["?"])
    assert named.labels == ["a", "b"]


def test_unseen_labels_are_unknown_in_an_input_and_not_there_in_a_target() -> None:
    column = set_of(["a;b", "b"])
    encoded = column.encode(pa.array(["a;x;y", "b", "[]"]))
    assert encoded.tensors["ids"].tolist() == [0, column.labels.index("a") + 1, column.labels.index("b") + 1]
    assert encoded.lengths is not None
    assert encoded.lengths.tolist() == [2, 1, 0]
    assert column.unseen(pa.array(["a;x;y", "x"])) == {"x": 2, "y": 1}
    assert members(set_of(["a;b", "b"], target=True), ["a;x"]) == [["a"]]


def test_the_most_frequent_labels_are_kept_and_the_others_are_counted() -> None:
    column = set_of(["a;b;c", "a;b", "a"], max_labels=2)
    assert column.labels == ["a", "b"]
    assert "1 are left out" in column.remarks()[0]
    assert set_of(["a;b;c", "a;b", "a"], min_count=2).labels == ["a", "b"]


def test_blocks_that_hold_no_separator_agree_with_those_that_do() -> None:
    whole = Set().summary(False)
    for block in (["a"], ["b"], ["a|b", "c|a"]):
        part = Set().summary(False)
        part.add(pa.array(block))
        whole.merge(part)
    assert whole.result()["separator"] == "|"
    assert whole.result()["labels"] == ["a", "b", "c"]


def test_thresholds_are_those_of_the_best_f1_and_rare_labels_share_one() -> None:
    from sklearn.metrics import f1_score

    random = np.random.default_rng(0)
    wanted = random.random((400, 3)) < [0.5, 0.1, 0.01]
    p = np.clip(0.3 * wanted + random.random((400, 3)) * [0.6, 0.3, 0.3], 0, 1)
    column = set_of([";".join(c for c, y in zip("abc", row) if y) or "[]" for row in wanted], target=True)
    order = [column.labels.index(c) for c in "abc"]
    found, truth = np.empty_like(p), np.empty_like(wanted)
    found[:, order], truth[:, order] = p, wanted
    settings = column.settle({"probabilities": found}, truth)
    assert settings["thresholds"]["c"] == settings["common"], "4 rows are too few for a threshold of their own"
    for label in "ab":
        at = column.labels.index(label)
        best = max(f1_score(truth[:, at], found[:, at] >= t) for t in np.linspace(0.01, 0.99, 99))
        assert f1_score(truth[:, at], found[:, at] >= settings["thresholds"][label]) >= best
    column.keep(settings)
    assert (
        column.decode({"probabilities": found})[0]
        == column.decode(column.settled({"probabilities": found}, settings))[0]
    )
    assert best_threshold(np.array([0.2, 0.9]), np.array([False, False])) == 0.5
    assert set_of(["a;b"], target=True, threshold=0.3).thresholds.tolist() == [0.3, 0.3]


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["Action|Drama", "Drama", "Comedy|Drama", "Action"] * 20, "set"),
        (["red, blue", "red", "green, red", "blue"] * 20, "set"),
        ([["a", "b"], ["b"], ["a"]] * 20, "set"),
        (["1,234.50", "2,345.75", "10,000.00"] * 20, "number"),
        (["a lovely, dull film", "so, so", "good, but long, and loud", "bad"] * 3, "text"),
        (["Springfield, IL", "Portland, OR", "Salem, MA", "Austin, TX"] * 20, "category"),
        (["0.1 0.2 0.3", "1 2 3", "4 5 6"], "vector"),
        (["[1, 2]", "[3, 4]", "[5.5, 6]"], "vector"),
        ([[0.5, 1.0], [1.0, 2.0]] * 5, "vector"),
        (["1 234 567", "2 345 678", "9 999 999"], "number"),
    ],
)
def test_sets_and_vectors_are_guessed_and_what_looks_like_them_is_not(cells: list[Any], wanted: str) -> None:
    assert guess("column", pa.array(cells), False).options["type"] == wanted


def test_vectors_of_every_notation_are_equal_and_another_length_is_bad() -> None:
    column = vector_of(["1 2 3", "4,5,6", "7;8;9", "10 20"])
    assert column.size == 3
    rows, bad = column.numbers(pa.array(["[1, 2, 3]", "(1;2;3)", " 1  2 3 ", "1 2", "1 two 3", "1 inf 3", "", None]))
    assert rows[:3].tolist() == [[1.0, 2.0, 3.0]] * 3
    assert bad.rows == [3, 4, 5]
    assert bad.reasons[0] == "2 numbers, where 3 are expected"
    assert "not a list of numbers" in bad.reasons[1]
    assert "finite" in bad.reasons[2]
    assert np.isnan(rows[3:]).all()
    assert "1 cells are not lists of 3 numbers" in column.remarks()[0]


def test_vectors_in_arrow_numpy_and_text_are_read_alike_and_come_back_in_their_units() -> None:
    x = np.random.default_rng(0).normal(5, 3, (50, 4))
    x[:, 2] = 7.0
    texts = [" ".join(repr(float(v)) for v in row) for row in x]
    column = vector_of(texts)
    forms = (pa.array(texts), pa.array(list(x)), pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 4))
    for cells in forms:
        np.testing.assert_allclose(column.matrix(cells), x, rtol=1e-6)
        encoded = column.encode(cells).tensors
        np.testing.assert_allclose(column.truth(encoded), x, rtol=1e-5)
    standard = column.encode(forms[0]).tensors["values"]
    np.testing.assert_allclose(standard.std(0), [1, 1, 0, 1], atol=1e-4)
    assert column.encode(pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 2)).bad.rows == list(range(100))


@pytest.mark.parametrize("scale", ["standard", "whole", "none"])
def test_the_scale_of_vectors_is_undone(scale: str) -> None:
    import torch

    column = vector_of(["1 10", "3 30", "5 20"], scale=scale)
    encoded = column.encode(pa.array(["2 25"])).tensors["values"]
    found = column.to_units({"mean": torch.from_numpy(encoded)})["mean"].numpy()
    np.testing.assert_allclose(found, [[2, 25]], rtol=1e-5)
