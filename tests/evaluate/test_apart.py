"""Figures apart by the values of a column are those of these rows alone, for every member."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.contract.parts import fitted

import dapeng
from dapeng.core.errors import DataError
from dapeng.core.spec import Evaluate
from dapeng.evaluate.apart import apart
from dapeng.evaluate.verdict import Judged
from dapeng.evaluate.views import figures


def test_they_are_the_figures_of_these_rows_alone() -> None:
    column = fitted("category", "y", target=True)
    draw = np.random.default_rng(0)
    size = len(column.labels)  # type: ignore[attr-defined]
    values, present = draw.integers(0, size, 60), np.arange(60) != 7
    said = draw.dirichlet(np.ones(size), 60)
    of = ["ab"[i % 2] for i in range(60)]
    judged = [Judged("product", "product", {"y": {"probabilities": said}}, 0.0, {})]
    found = apart(Evaluate(resamples=50), {"y": column}, {"y": (values, present)}, judged, {"kind": of}, 0)
    first, second = found["y"]["kind"]
    assert (first["value"], first["rows"], second["value"], second["rows"]) == ("a", 30, "b", 29)
    at = np.array([i for i in range(60) if i % 2 and i != 7])
    wanted = figures(column, {"probabilities": said[at]}, values[at])["accuracy"]
    assert second["members"]["product"]["value"] == pytest.approx(wanted)
    assert second["members"]["product"]["low"] <= wanted <= second["members"]["product"]["high"]


def test_they_stand_in_metrics_report_and_verdict(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [
        {"x": float(x), "kind": "ab"[i % 2], "y": "yes" if x > 0 else "no"} for i, x in enumerate(draw.normal(size=120))
    ]
    spec = {"inputs": {"x": "number"}, "model": "linear", "evaluate": {"by": "kind", "resamples": 50}}
    run = dapeng.train(rows, outputs={"y": "category"}, **spec, runs=tmp_path)  # type: ignore[arg-type]
    shown = run.metrics["outputs"]["y"]["apart"]["kind"]
    assert [r["value"] for r in shown] == ["a", "b"]
    assert sum(r["rows"] for r in shown) == run.metrics["rows"]
    assert "accuracy, product" in run.evaluate().text()
    assert "accuracy by" in (run.path / "report.html").read_text()


def test_a_column_that_is_not_there_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    rows = [{"x": float(i), "kind": "a", "y": "ab"[i % 2]} for i in range(20)]
    spec = {"inputs": {"x": "number"}, "evaluate": {"by": "kinds"}}
    with pytest.raises(DataError, match=r"no column 'kinds'"):
        dapeng.train(rows, outputs={"y": "category"}, **spec, runs=tmp_path)  # type: ignore[arg-type]
