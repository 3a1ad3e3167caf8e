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
from dapeng.evaluate.tasks.base import task_of
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


def test_texts_are_told_apart_by_their_script(tmp_path: Path) -> None:
    rows = [{"x": f"{i} eggs", "y": f"{i} eggs please" if i % 3 else f"请给我{i}个鸡蛋"} for i in range(120)]
    outputs = {
        "y": {"type": "text", "tokeniser": "characters", "decoder": {"type": "gru", "embed_dim": 8, "hidden": 8}}
    }
    spec = {"inputs": {"x": "text"}, "model": "network", "train": {"steps": 2}, "evaluate": {"resamples": 20}}
    split = {"by": "random", "train": 0.5, "validation": 0.1, "test": 0.4}
    run = dapeng.train(rows, outputs=outputs, **spec, data={"split": split}, runs=tmp_path)  # type: ignore[arg-type]
    shown = run.metrics["outputs"]["y"]["apart"]["script of the text"]
    assert {r["value"] for r in shown} == {"Latin", "Han"}
    assert sum(r["rows"] for r in shown) == run.metrics["rows"]
    assert "Han" in run.evaluate().text()


def test_texts_of_one_script_and_scripts_of_few_texts_are_not_told_apart() -> None:
    task = task_of("text")
    assert task.groups(np.array(["one", "two", "three 3"] * 10, object)) == {}
    mixed = np.array(["one"] * 20 + ["два"] * 3 + ["三個"] * 12, object)
    found = task.groups(mixed)["script of the text"]
    assert found.tolist() == ["Latin"] * 20 + ["others"] * 3 + ["Han"] * 12
