"""Types that are typed beside a data file, where the others are guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dapeng
from dapeng.core.errors import DapengError, DataError, SpecError
from dapeng.data.choose_split import choose_split


def train(folder: Path, *overrides: str) -> Any:
    lines = ["a,b,y", *(f"{i % 7},{i % 3},{i % 5}" for i in range(60))]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    more = ["train.epochs=1", "train.threads=1", "model=network", "evaluate.baselines=[]", "evaluate.resamples=0"]
    return dapeng.train(folder / "t.csv", target=["y"], overrides=[*more, *overrides], runs=folder / "runs")  # type: ignore[operator]


def test_what_is_typed_is_taken_and_the_rest_guessed(tmp_path: Path) -> None:
    run = train(tmp_path, "outputs.y=number", "inputs.b={type: category, min_count: 3}")
    assert run.product.outputs["y"].type == "number"
    assert run.product.inputs["b"].type == "category"
    assert run.product.inputs["b"].options.min_count == 3
    assert list(run.product.inputs) == ["a", "b"]


@pytest.mark.parametrize(
    ("typed", "kind", "said"),
    [
        ("inputs.nosuch=number", DataError, "has no column 'nosuch'"),
        ("inputs.y=number", SpecError, "this column is also an input"),
        ("outputs.b=number", DataError, "'b' is not a target"),
        ("outputs.y.weight=2", SpecError, "say it too"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, typed: str, kind: type[DapengError], said: str) -> None:
    with pytest.raises(kind, match=said):
        train(tmp_path, typed)


def test_a_pattern_holds_wherever_the_run_folder_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["a,b,y", *(f"{i % 7},{i % 3},{'uv'[i % 2]}" for i in range(60))]
    for name in ("p1.csv", "p2.csv"):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    spec = {"data": {"path": "p*.csv"}, "inputs": {"a": "number"}, "outputs": {"y": "category"}}
    run = dapeng.train(spec, overrides=["model=linear", "evaluate.resamples=0"], runs=tmp_path / "runs")  # type: ignore[operator]
    monkeypatch.chdir(tmp_path / "runs")
    assert dapeng.load(run.path).explain(rows=1).plain()["data"]


def test_a_time_is_split_by_also_where_rows_are_few() -> None:
    assert choose_split(400, None, roles={"t": "time"})[0].by == "time"
    assert choose_split(400, None, roles={"t": "group"})[0].by == "cross_validation"
