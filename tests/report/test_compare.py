"""Two runs compared row by row."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dapeng.core.errors import RunError
from dapeng.core.files import write_yaml
from dapeng.core.run import RunFolder
from dapeng.track.compare import compare, mcnemar


def run(
    parent: Path, right: np.ndarray, labels: list[str], rows: np.ndarray | None = None, data: str = "d", **train
) -> RunFolder:
    """A run that has these rows right. Truth alternates between the labels "a" and "b", in whatever order they are kept."""
    folder = RunFolder.create(parent, "r")
    rows = np.arange(len(right)) if rows is None else rows
    truth = np.array([labels.index("ab"[r % 2]) for r in rows])
    said = np.where(right, truth, 1 - truth)
    table = {
        "row": rows,
        "y.present": np.ones(len(rows), bool),
        "y.truth": truth,
        "y.probabilities": list(np.eye(2)[said] * 0.8 + 0.1),
    }
    pq.write_table(pa.table(table), folder.path / "predictions.parquet")
    options = {"type": "category", "positive": None, "missing": []}
    state = {"labels": labels, "counts": [1, 1], "missing": 0}
    folder.write_json("columns.json", {"inputs": {}, "outputs": {"y": {"options": options, "state": state}}})
    write_yaml(folder.path / "resolved.yaml", {"spec": {"train": train, "same": 1}, "facts": {"data": data}})
    return folder


def test_the_better_run_is_named_and_only_differences_are_listed(tmp_path):
    random = np.random.default_rng(0)
    poor, good = random.random(400) < 0.6, random.random(400) < 0.9
    found = compare(run(tmp_path, poor, ["a", "b"], seed=1), run(tmp_path, good, ["a", "b"], seed=2))
    assert found["differences"] == [{"key": "train.seed", "first": 1, "second": 2}]
    figures = found["outputs"]["y"]["metrics"]["accuracy"]
    assert figures["gain"] == pytest.approx(good.mean() - poor.mean())
    assert figures["low"] > 0
    assert "r-0002 is better than r-0001" in found.text()
    assert found.plain()["outputs"]["y"]["rows"] == 400


def test_equal_runs_do_not_differ(tmp_path):
    right = np.random.default_rng(0).random(200) < 0.8
    found = compare(run(tmp_path, right, ["a", "b"]), run(tmp_path, right, ["a", "b"]))
    assert "No difference" in found["outputs"]["y"]["words"]
    assert found["outputs"]["y"]["mcnemar"]["p"] == 1.0


def test_rows_are_paired_by_position_not_by_order(tmp_path):
    right = np.random.default_rng(0).random(100) < 0.5
    order = np.random.default_rng(1).permutation(100)
    found = compare(run(tmp_path, right, ["a", "b"]), run(tmp_path, right[order], ["a", "b"], rows=order))
    assert found["outputs"]["y"]["mcnemar"] == {"only_first": 0, "only_second": 0, "p": 1.0}


def test_other_test_rows_or_other_data_are_refused(tmp_path):
    right = np.ones(100, bool)
    first = run(tmp_path, right, ["a", "b"])
    with pytest.raises(RunError, match="different rows: 50 of 100"):
        compare(first, run(tmp_path, right, ["a", "b"], rows=np.arange(50, 150)))
    with pytest.raises(RunError, match="different data"):
        compare(first, run(tmp_path, right, ["a", "b"], data="other"))


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 9), (5, 5), (30, 12), (400, 350)])
def test_mcnemar_equals_the_exact_binomial_test(a, b):
    from scipy.stats import binomtest

    first = np.array([True] * a + [False] * b, bool)
    expected = binomtest(min(a, b), a + b).pvalue if a + b else 1.0
    assert math.isclose(mcnemar(first, ~first)["p"], expected, rel_tol=1e-9)
