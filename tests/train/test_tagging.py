"""Dates, sets and vectors go the whole way on real pictures of digits: trained, judged, reported, predicted, exported, served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dapeng
from dapeng.api import compare
from dapeng.cli.main import main

QUICK: dict[str, Any] = {"evaluate": {"resamples": 100}, "train": {"epochs": 8, "threads": 1}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits.csv: the upper and the lower half of each picture, what can be said of its digit, and a date."""
    from sklearn.datasets import load_digits

    found = load_digits()
    folder = tmp_path_factory.mktemp("digits")
    tags = [
        ["even"] * (d % 2 == 0) + ["hole"] * (d in (0, 6, 8, 9)) + ["small"] * (d < 3) for d in found.target.tolist()
    ]
    table = {
        "upper": [" ".join(f"{v:g}" for v in x) for x in found.data[:, :32]],
        "lower": ["[" + ",".join(f"{v:g}" for v in x) + "]" for x in found.data[:, 32:]],
        "tags": ["|".join(t) for t in tags],
        "when": [f"{1 + d:02d}/{1 + i % 12:02d}/2024" for i, d in enumerate(found.target)],
    }
    pd.DataFrame(table).to_csv(folder / "digits.csv", index=False)
    return folder


def spec(place: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    data = {"path": str(place / "digits.csv"), "split": {"by": "random"}}
    return {"data": data, "inputs": inputs, "outputs": outputs, **QUICK}


@pytest.fixture(scope="module")
def tagger(place: Path) -> Any:
    outputs = {"tags": {"type": "set", "empty": "set"}}
    return dapeng.train(spec(place, {"lower": "vector", "upper": "vector"}, outputs), runs=place / "runs")


@pytest.fixture(scope="module")
def painter(place: Path) -> Any:
    return dapeng.train(spec(place, {"upper": "vector", "when": "date"}, {"lower": "vector"}), runs=place / "runs")


def test_tags_of_digits_are_learnt_by_the_network_trees_and_lines(tagger: Any) -> None:
    found = tagger.metrics["outputs"]["tags"]
    board = {r["name"]: r["metrics"]["f1_micro"]["value"] for r in found["leaderboard"]}
    assert set(board) == {"product", "network", "trees", "linear", "constant"}
    assert board["constant"] < 0.8 < 0.93 < board["product"]
    assert min(board["network"], board["trees"]) > 0.9
    assert found["metrics"]["subset_accuracy"]["value"] > 0.8


def test_thresholds_are_kept_in_the_run_and_found_again(tagger: Any) -> None:
    again = dapeng.load(tagger.path)
    assert again.product.outputs["tags"].state["thresholds"] == tagger.product.outputs["tags"].state["thresholds"]
    assert again.product.outputs["tags"].state["thresholds"] != [0.5] * 3


def test_the_report_lists_every_label_and_the_card_its_weakest(tagger: Any) -> None:
    report = (tagger.path / "report.html").read_text()
    assert "Label by label" in report
    assert "rows by how many labels they have" in report
    assert "Confusion" not in report
    assert "weakest labels of tags" in (tagger.path / "MODEL_CARD.md").read_text()


def test_predictions_are_lists_in_python_and_json_and_joined_in_csv(
    tagger: Any, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = pd.read_csv(place / "digits.csv", keep_default_na=False).head(20)
    head.to_csv(place / "head.csv", index=False)
    values = tagger.predict(head).column("tags").to_pylist()
    wanted = [t.split("|") if t else [] for t in head["tags"]]
    assert np.mean([sorted(a) == sorted(b) for a, b in zip(values, wanted)]) > 0.8
    assert main(["predict", str(tagger.path), str(place / "head.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tags,tags.even,tags.hole,tags.small"
    assert lines[1].split(",")[0] == "|".join(values[0])
    assert main(["predict", str(tagger.path), str(place / "head.csv"), "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["tags"] == values[0]


def test_new_rows_with_answers_are_judged_and_two_runs_are_compared(tagger: Any, place: Path) -> None:
    found = tagger.evaluate(str(place / "digits.csv"))
    assert found["outputs"]["tags"]["metrics"]["f1_micro"]["value"] > 0.93
    outputs = {"tags": {"type": "set", "empty": "set"}}
    other = dapeng.train({**spec(place, {"upper": "vector"}, outputs), "model": "linear"}, runs=place / "runs")
    compared = compare(other.path, tagger.path)
    assert compared["outputs"]["tags"]["metrics"]["f1_micro"]["low"] > 0
    assert "is better than" in compared["outputs"]["tags"]["words"]


@pytest.mark.parametrize("which", ["tagger", "painter"])
def test_it_is_exported_on_its_own_and_explained(which: str, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue(which)
    assert run.export("onnx")["largest_difference"] < 1e-4
    pytest.importorskip("lightgbm")
    assert run.export("standalone")["largest_difference"] < 1e-4
    assert run.explain(rows=2)


def test_lower_halves_are_drawn_better_than_their_mean_and_better_than_by_a_line(painter: Any) -> None:
    found = painter.metrics["outputs"]["lower"]
    board = {r["name"]: r["metrics"]["rmse_elements"]["value"] for r in found["leaderboard"]}
    assert set(board) == {"product", "network", "linear", "constant"}
    assert board["product"] < board["linear"] < board["constant"]
    assert found["metrics"]["r2_elements"]["value"] > 0.4
    assert "Always answering the mean reaches" in found["words"]
    assert "Worst errors" in (painter.path / "report.html").read_text()


def test_a_server_takes_lists_and_texts_and_refuses_what_has_another_length(painter: Any, tagger: Any) -> None:
    from dapeng.serve.engine import BadRequest, Engine
    from dapeng.serve.openapi import prediction_schema
    from dapeng.serve.protocol import answer

    engine = Engine(painter.product, "painter")
    rows = [{"upper": [0.0] * 32, "when": "03/05/2024"}, {"upper": " ".join(["1"] * 32), "when": None}]
    answers = engine.answers(engine.check(rows).rows)
    assert [len(a["lower"]["value"]) for a in answers] == [32, 32]
    assert answer(engine, answers, None)["outputs"][0]["shape"] == [2, 32]
    with pytest.raises(BadRequest, match="31 numbers, where 32 are expected"):
        engine.check([{"upper": [0.0] * 31, "when": None}])
    with pytest.raises(BadRequest, match="not written like the others"):
        engine.check([{"upper": [0.0] * 32, "when": "3 May 2024"}])
    iso = engine.check([{"upper": [0.0] * 32, "when": "2024-03-05"}, {"upper": [0.0] * 32, "when": "03/05/2024"}])
    assert iso.rows[0] == iso.rows[1], "ISO 8601 can't be taken for another notation"
    said = Engine(tagger.product, "tagger")
    found = said.answers(said.check([{"lower": [0] * 32, "upper": [0] * 32}]).rows)[0]["tags"]
    assert found["value"] == [n for n, p in found["probabilities"].items() if p >= _cut(tagger, n)]
    assert prediction_schema(said)["properties"]["tags"]["properties"]["value"]["type"] == "array"


def _cut(run: Any, label: str) -> float:
    column = run.product.outputs["tags"]
    return float(column.thresholds[column.labels.index(label)])


@pytest.mark.slow
def test_folds_decide_by_their_own_thresholds_and_the_product_by_their_mean(place: Path) -> None:
    table = pd.read_csv(place / "digits.csv", keep_default_na=False).head(400)
    outputs = {"tags": {"type": "set", "empty": "set"}}
    run = dapeng.train(
        table,
        outputs=outputs,
        inputs={"lower": "vector"},
        model="linear",
        evaluate={"resamples": 50},
        runs=place / "runs",
    )
    thresholds = run.product.outputs["tags"].thresholds
    assert thresholds.shape == (3,)
    assert run.metrics["outputs"]["tags"]["rows"] == 400
    assert "tags.said" in __import__("pyarrow.parquet").parquet.read_schema(run.path / "predictions.parquet").names
