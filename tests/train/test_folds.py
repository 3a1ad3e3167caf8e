"""Cross-validation where folds differ: labels that a fold never saw, rows that can't be read, files that it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import dapeng
from dapeng.api import tested
from dapeng.columns.category import Category, CategoryColumn
from dapeng.core.errors import DataError
from dapeng.core.files import read_json, read_lines

QUICK = ["train.epochs=2", "train.threads=1", "evaluate.resamples=50"]


def write(folder: Path, rows: int = 120) -> Path:
    draw = np.random.default_rng(0)
    lines = ["a,b,w,y"]
    for i in range(rows):
        label = "rare" if i == 7 else "odd" if i in (3, 50) else "yes" if i % 2 else "no"
        lines.append(f"{draw.normal():.3f},{draw.normal():.3f},{1 + i % 3},{label}")
    path = folder / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def train(folder: Path, *more: str, **spec: Any) -> Any:
    """A run over t.csv in a folder."""
    wanted = {
        "data": {"path": str(folder / "t.csv"), "split": {"by": "cross_validation", "folds": 3}},
        "inputs": {"a": "number", "b": "number"},
        "outputs": {"y": "category"},
        **spec,
    }
    return dapeng.train(wanted, overrides=[*QUICK, *more], runs=folder / "runs")  # type: ignore[operator]


@pytest.mark.parametrize("model", ["auto", "network", "linear"])
def test_a_label_of_one_row_is_tested_by_a_fold_that_never_saw_it_and_counts_as_wrong(
    tmp_path: Path, model: str
) -> None:
    write(tmp_path)
    run = train(tmp_path, f"model={model}")
    found = run.metrics["outputs"]["y"]
    assert found["labels"] == ["no", "odd", "rare", "yes"]
    assert found["rows"] == 120
    rows = pq.read_table(run.folder.path / "predictions.parquet").to_pydict()
    assert sorted(rows["row"]) == list(range(120))
    at = rows["row"].index(7)
    assert rows["y.truth"][at] == 2
    assert rows["y.present"][at]
    assert len(rows["y.probabilities"][at]) == 4
    assert rows["y.probabilities"][at][2] == 0, "its fold can't name a label that it never saw"
    rare = next(c for c in found["per_class"] if c["label"] == "rare")
    assert rare["recall"] == 0


@pytest.mark.parametrize("model", ["auto", "trees", "linear", "network"])
def test_a_fold_that_has_one_class_or_no_target_at_all_is_no_error(tmp_path: Path, model: str) -> None:
    draw = np.random.default_rng(0)
    lines = ["a,b,y,z"]
    for i in range(90):
        z = f"{i}" if i in (4, 40) else ""
        lines.append(f"{draw.normal():.3f},{draw.normal():.3f},{'rare' if i == 7 else 'no'},{z}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    run = train(tmp_path, f"model={model}", outputs={"y": "category", "z": "number"})
    assert run.metrics["outputs"]["y"]["rows"] == 90
    assert run.metrics["outputs"]["z"]["rows"] == 2
    if model == "auto":
        assert "constant" in {r["name"] for r in run.metrics["outputs"]["y"]["leaderboard"]}
    said = run.predict([{"a": 0.1, "b": 0.2}]).to_pylist()[0]
    assert said["y"] == "no"
    assert np.isfinite(said["z"])


def test_weights_that_are_all_zero_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "t.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join([*r[:2], "0" if i else "w", r[3]]) for i, r in enumerate(rows)) + "\n")
    with pytest.raises(DataError, match="every row that trains weighs 0"):
        train(tmp_path, columns={"w": "weight"})


def test_folds_leave_no_file_behind_and_the_log_names_them(tmp_path: Path) -> None:
    write(tmp_path)
    run = train(tmp_path, "model=network")
    assert not (run.folder.path / "folds").exists()
    entries = read_lines(run.folder.path / "metrics.jsonl")
    assert {e["fold"] for e in entries} == {0, 1, 2, 3}
    assert all("loss" not in e for e in entries if e["fold"] == 3), "the last training has no rows to validate on"
    assert "In the first fold" in (run.folder.path / "report.html").read_text(encoding="utf-8")
    assert "folds" not in str(read_json(run.folder.path / "MANIFEST.json"))
    notes = read_json(run.folder.path / "explain.json")["notes"]
    assert any("was trained on these rows too" in note for note in notes)


def test_what_a_fold_leaves_is_read_back_as_it_was(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    before = tested.Tested(
        np.array([3, 1, 2]),
        {"product": {"y/1": {"probabilities": draw.random((3, 2)).astype(np.float32)}, "n": {"mean": draw.random(3)}}},
        {"y/1": {"network": 0.25, "trees": 0.75}},
        {"trees": "learner"},
        {"network": 1.5},
        2.5,
        77,
    )
    before.save(tmp_path / "folds" / "0.safetensors")
    after = tested.Tested.load(tmp_path / "folds" / "0.safetensors")
    for name in ("shares", "roles", "costs", "best_epoch", "log"):
        assert getattr(after, name) == getattr(before, name)
    assert after.rows.tolist() == [3, 1, 2]
    for output, tensors in before.predictions["product"].items():
        for name, array in tensors.items():
            assert np.array_equal(after.predictions["product"][output][name], array)
            assert after.predictions["product"][output][name].dtype == array.dtype


def test_probabilities_of_other_labels_are_put_where_they_belong() -> None:
    few = CategoryColumn("y", Category(), {"labels": ["b", "a"], "counts": [2, 1]}, True)
    many = CategoryColumn("y", Category(), {"labels": ["c", "a", "0", "b"], "counts": [4, 3, 2, 1]}, True)
    assert (few.labels, many.labels) == (["a", "b"], ["0", "a", "b", "c"])
    found = many.aligned({"probabilities": np.array([[0.25, 0.75]], np.float32)}, few)
    assert found["probabilities"].tolist() == [[0, 0.25, 0.75, 0]]


def test_weights_are_said_to_count_in_training_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    run = train(tmp_path, "model=linear", columns={"w": "weight"})
    words = "w weighs rows in training; here every test row counts once."
    assert words in capsys.readouterr().err
    assert words in (run.folder.path / "report.html").read_text(encoding="utf-8")


def test_a_fold_s_blend_has_the_shares_that_the_other_folds_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dapeng.api import training
    from dapeng.evaluate.blend import blend_shares
    from dapeng.product.product import mix

    seen: list[Any] = []
    judge = training.judge

    def looking(session: Any, fold: Any, found: list[Any]) -> Any:
        seen[:] = found
        return judge(session, fold, found)

    monkeypatch.setattr(training, "judge", looking)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(240, 2))
    y = np.where((x[:, 0] * x[:, 1] > 0) ^ (draw.random(240) < 0.1), "same", "apart")
    lines = [f"{a:.3f},{b:.3f},{c}" for (a, b), c in zip(x, y)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    run = train(tmp_path, "model=auto")
    column = run.product.outputs["y"]
    codes = np.array([column.labels.index(label) for label in y])
    assert len(seen) == 3
    for one in seen:
        others = [t for t in seen if t is not one]
        members = [m for m in one.predictions if one.roles.get(m) == "learner" or m == "network"]
        assert len(members) > 1
        each = {m: {"p": np.concatenate([t.predictions[m]["y"]["probabilities"] for t in others])} for m in members}
        wanted = blend_shares(column, {m: {"probabilities": p["p"]} for m, p in each.items()}, codes_of(codes, others))
        assert one.shares["y"] == wanted
        mixed = mix({m: one.predictions[m]["y"] for m in wanted}, wanted)
        assert np.array_equal(one.predictions["product"]["y"]["probabilities"], mixed["probabilities"])
    whole = blend_shares(
        column,
        {m: {"probabilities": np.concatenate([t.predictions[m]["y"]["probabilities"] for t in seen])} for m in members},
        codes_of(codes, seen),
    )
    assert run.product.shares["y"] == pytest.approx({m: s / sum(whole.values()) for m, s in whole.items()})


def codes_of(codes: np.ndarray, found: list[Any]) -> np.ndarray:
    return codes[np.concatenate([t.rows for t in found])]


@pytest.mark.parametrize("given", [{"steps": 2, "epochs": "auto"}, {"epochs": "auto", "patience": 1}])
def test_epochs_are_told_as_chosen_only_where_they_are_used(tmp_path: Path, given: dict[str, Any]) -> None:
    write(tmp_path, 40)
    spec = {"data": str(tmp_path / "t.csv"), "model": "network", "inputs": {"a": "number"}, "outputs": {"b": "number"}}
    run = dapeng.train({**spec, "train": {"threads": 1, **given}}, runs=tmp_path / "runs")  # type: ignore[operator]
    reasons = yaml.safe_load((run.path / "resolved.yaml").read_text())["facts"]["reasons"]
    assert ("train.epochs" in reasons) == ("steps" not in given)
    assert "train.learning_rate" in reasons
