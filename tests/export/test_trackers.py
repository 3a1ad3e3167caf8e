"""What a run told reaches TensorBoard and MLflow, as their own readers say; weights open with safetensors alone."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import dapeng
from dapeng.core.errors import MissingExtra, RunError
from dapeng.core.run import RunFolder
from dapeng.export.curves import curves

QUICK = ["model=network", "train.epochs=3", "evaluate.baselines=[]", "evaluate.resamples=20"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dapeng.Run:
    """One split."""
    overrides = [*QUICK, "data.max_rows=600", "data.split=random"]
    return dapeng.train("sample:digits", outputs="label", overrides=overrides, runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> dapeng.Run:
    """A cross-validation: curves for each fold, and for the model that is kept."""
    return dapeng.train("sample:iris", outputs="species", overrides=QUICK, runs=tmp_path_factory.mktemp("runs"))


def told(run: dapeng.Run) -> list[dict]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="the extra tensorboard is not installed"
    )
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_tensorboard_reads_losses_figures_and_learning_rate_by_step(digits: dapeng.Run) -> None:
    found = digits.export("tensorboard")
    read = scalars(Path(found["folder"]) / "phase-0")
    names = {"train_loss": "train/loss", "learning_rate": "train/learning_rate", "loss": "validation/loss"}
    names |= {"label.accuracy": "validation/label.accuracy", "score": "validation/score"}
    for key, name in names.items():
        assert [step for step, _ in read[name]] == [e["step"] for e in told(digits)]
        assert [value for _, value in read[name]] == pytest.approx([e[key] for e in told(digits)], rel=1e-6)
    accuracy = digits.metrics["outputs"]["label"]["metrics"]["accuracy"]["value"]
    assert scalars(Path(found["folder"]) / "test")["test/label.accuracy"] == [(0, pytest.approx(accuracy))]
    assert found["largest_difference"] < 1e-6
    dapeng.load(digits.path).product  # noqa: B018 - the manifest knows of what was written


def test_an_export_takes_the_place_of_the_one_before(digits: dapeng.Run) -> None:
    before, after = digits.export("tensorboard"), digits.export("tensorboard")
    assert before["points"] == after["points"]
    assert len(scalars(Path(after["folder"]) / "phase-0")["train/loss"]) == len(told(digits))


def test_event_files_and_empty_folders_of_others_stay(digits: dapeng.Run, tmp_path: Path) -> None:
    writer = pytest.importorskip("torch.utils.tensorboard.writer", reason="the extra tensorboard is not installed")
    for place in ("mine", "mine/deep", "phase-0/below", "."):
        with writer.SummaryWriter(str(tmp_path / place)) as file:
            file.add_scalar("a", 1.0, 0)
    (tmp_path / "to come").mkdir()
    mine = set(tmp_path.rglob("*"))
    for _ in range(2):
        found = digits.export("tensorboard", tmp_path)
        made = {p for p in tmp_path.rglob("*") if p.is_file()} - mine
        assert mine <= set(tmp_path.rglob("*"))
        assert sorted(p.parent.name for p in made) == ["phase-0", "test"]
        assert found["bytes"] == sum(p.stat().st_size for p in made)


@pytest.mark.parametrize("place", ["phase-0", "test"])
def test_curves_are_not_mixed_with_those_of_others(digits: dapeng.Run, tmp_path: Path, place: str) -> None:
    writer = pytest.importorskip("torch.utils.tensorboard.writer", reason="the extra tensorboard is not installed")
    with writer.SummaryWriter(str(tmp_path / place)) as file:
        file.add_scalar("train/loss", 1.0, 0)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(RunError, match=rf"{place} holds event files that no export has left.*\n  hint: --to .*digits-"):
        digits.export("tensorboard", tmp_path)
    assert set(tmp_path.rglob("*")) == before
    dapeng.load(digits.path).product  # noqa: B018 - it is whole


def test_every_fold_is_a_run_of_tensorboard_and_the_model_on_all_rows_too(iris: dapeng.Run, tmp_path: Path) -> None:
    found = iris.export("tensorboard", tmp_path / "boards")
    folds = {e["fold"] for e in told(iris)}
    assert found["runs"] == [f"fold-{f}/phase-0" for f in sorted(folds)[:-1]] + ["all-rows/phase-0"]
    one = scalars(tmp_path / "boards" / "fold-1" / "phase-0")
    assert one["train/loss"] == [(e["step"], pytest.approx(e["train_loss"])) for e in told(iris) if e["fold"] == 1]
    assert "validation/loss" not in scalars(tmp_path / "boards" / "all-rows" / "phase-0")


def test_half_a_line_checkpoints_and_steps_told_twice_are_read_as_they_are_meant(
    digits: dapeng.Run, tmp_path: Path
) -> None:
    lines = [
        {"phase": 0, "step": 1, "train_loss": 5.0, "time": 1},
        {"phase": 0, "step": 1, "checkpoint": "000001"},
        {"phase": 0, "step": 1, "train_loss": 4.0, "time": 2, "loss": math.inf},
        {"phase": 1, "step": 1, "train_loss": 3.0, "time": 3},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"phase": 1, "st'
    (tmp_path / "run.json").write_text((digits.path / "run.json").read_text())
    (tmp_path / "metrics.jsonl").write_text(text)
    found = curves(RunFolder.open(tmp_path))
    assert [c.name for c in found] == ["phase-0", "phase-1"]
    assert [(p.name, p.value, p.step) for p in found[0].points] == [("train/loss", 4.0, 1)]
    assert found[1].points[0].seconds - found[0].points[0].seconds == 1


def test_a_run_without_a_network_has_no_curves_and_says_so(tmp_path: Path) -> None:
    run = dapeng.train("sample:iris", outputs="species", overrides=[*QUICK, "model=linear"], runs=tmp_path)
    with pytest.raises(RunError, match="no network was trained"):
        run.export("tensorboard")
    dapeng.load(run.path).product  # noqa: B018 - it is whole


@pytest.mark.parametrize(
    ("form", "module"), [("tensorboard", "torch.utils.tensorboard.writer"), ("mlflow", "mlflow.exceptions")]
)
def test_the_extra_is_named_where_it_is_missing(
    digits: dapeng.Run, form: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"dapeng\[{form}\]"):
        digits.export(form)


def test_mlflow_reads_settings_curves_figures_and_the_report(digits: dapeng.Run, iris: dapeng.Run, monkeypatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking", reason="MLflow is not installed (pip install mlflow-skinny)")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    digits.export("mlflow")
    found = digits.export("mlflow")
    assert Path(found["folder"]) == digits.path.parent / "mlruns"
    client = tracking.MlflowClient(tracking_uri=Path(found["folder"]).as_uri())
    experiment = client.get_experiment_by_name("digits")
    assert len(client.search_runs([experiment.experiment_id])) == 1, "an export takes the place of the one before"
    run = client.get_run(found["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == "network"
    assert run.data.tags["dapeng.run"] == digits.path.name
    assert run.data.metrics["test/label.accuracy"] == digits.metrics["outputs"]["label"]["metrics"]["accuracy"]["value"]
    for key, name in {"train_loss": "train/loss", "label.accuracy": "validation/label.accuracy"}.items():
        history = sorted((m.step, m.value) for m in client.get_metric_history(found["run_id"], name))
        assert history == [(e["step"], pytest.approx(e[key])) for e in told(digits)]
    assert {a.path for a in client.list_artifacts(found["run_id"])} == {"report.html", "MODEL_CARD.md"}
    dapeng.load(digits.path).product  # noqa: B018 - it is whole

    below = iris.export("mlflow")
    client = tracking.MlflowClient(tracking_uri=Path(below["folder"]).as_uri())
    runs = client.search_runs([client.get_experiment_by_name("iris").experiment_id])
    parents = [r.data.tags.get("mlflow.parentRunId") for r in runs]
    assert parents.count(below["run_id"]) == len({e["fold"] for e in told(iris)})


def test_a_file_in_the_way_of_event_files_is_named(digits: dapeng.Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    (tmp_path / "test").write_text("mine")
    with pytest.raises(RunError, match=rf"can't write {tmp_path}: File exists: {tmp_path / 'test'}\n"):
        digits.export("tensorboard", tmp_path)
    assert (tmp_path / "test").read_text() == "mine"


def test_the_command_writes_event_files(digits: dapeng.Run, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dapeng",
        "export",
        str(digits.path),
        "--format",
        "tensorboard",
        "--to",
        str(tmp_path / "b"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert scalars(tmp_path / "b" / "phase-0")["train/loss"]


def test_weights_open_with_safetensors_alone_and_are_the_parameters_by_name(digits: dapeng.Run) -> None:
    code = "import json, sys\nfrom safetensors import safe_open\n"
    code += f"with safe_open({str(digits.path / 'weights.safetensors')!r}, 'numpy') as file:\n"
    code += "    print(json.dumps({n: list(file.get_tensor(n).shape) for n in file.keys()}))\n"
    code += "assert not {'torch', 'dapeng'} & set(sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = dapeng.load(digits.path).product.model
    assert json.loads(done.stdout) == {n: list(t.shape) for n, t in model.state_dict().items()}
    assert any(n.startswith("encoders.image") for n in json.loads(done.stdout))
