"""A model judged on rows that come later: the same figures, rows without the truth left out and counted."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dapeng import api
from dapeng.columns.category import Category
from dapeng.core.errors import DataError
from dapeng.data.table import Block, Frame
from dapeng.evaluate.again import evaluate_on
from dapeng.product.product import Answer


class Parrot:
    """A product that says what column x says, with certainty."""

    def __init__(self):
        column = Category().fitted("y", {"labels": ["a", "b"], "counts": [5, 5], "missing": 0}, True)
        self.inputs, self.outputs = {"x": None}, {"y": column}

    def stream(self, source, known=False):
        for block in source.blocks():
            codes = np.array([0 if v == "a" else 1 for v in block.columns.column("x").to_pylist()])
            good = np.arange(len(block))
            yield Block(block.start, block.columns), Answer({"y": {"probabilities": np.eye(2)[codes]}}, {}, good)


def test_rows_are_judged_where_the_truth_is_known():
    rows = pa.table({"x": ["a", "b", "a", "b", "a"], "y": ["a", "b", "b", None, "strange"]})
    found = evaluate_on(Parrot(), Frame(rows))  # type: ignore[arg-type]
    assert found["outputs"]["y"]["rows"] == 3
    assert found["headline"]["value"] == pytest.approx(2 / 3)
    assert any("lack the true y" in n for n in found["notes"])
    assert any("'strange' was not seen in training" in n for n in found["notes"])


def test_a_missing_target_column_is_named():
    with pytest.raises(DataError, match="has no column 'y'") as error:
        evaluate_on(Parrot(), Frame(pa.table({"x": ["a"], "Y1": ["a"]})))  # type: ignore[arg-type]
    assert "hint" in str(error.value)


def test_rows_that_trained_a_run_are_told_and_others_are_called_by_their_file(tmp_path):
    table = "x,y\n" + "".join(f"{i % 7},{'ab'[i % 7 > 3]}\n" for i in range(60))
    (tmp_path / "mine.csv").write_text(table)
    (tmp_path / "other.csv").write_text(table + "1,a\n")
    spec = {"inputs": {"x": "number"}, "model": "linear", "evaluate": {"resamples": 50}}
    run = api.train(tmp_path / "mine.csv", {"y": "category"}, runs=tmp_path / "runs", **spec)
    mine, other = (run.evaluate(tmp_path / n) for n in ("mine.csv", "other.csv"))
    assert "the figures flatter" in mine["notes"][0]
    assert not other["notes"]
    assert "on 61 rows of" in other["verdict"]
    assert "test rows" not in mine["verdict"] + other["verdict"]
