"""What single verbs print, and how the thin ones call the Python API."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from dapeng.cli.main import main
from dapeng.core.files import lock
from dapeng.core.loader import load_spec
from dapeng.core.run import TRAINING, RunFolder


@pytest.fixture
def api(monkeypatch):
    """A stand-in for `dapeng.api` that notes each call."""
    calls = []

    def note(name, result=None):
        def call(*args, **named):
            calls.append((name, args, named))
            return result

        return call

    run = SimpleNamespace(
        path="runs/r-0001",
        folder=SimpleNamespace(verify=note("verify"), has=lambda name: True),
        evaluate=note("evaluate", {"accuracy": 0.9, "n": {"rows": 3}}),
        predict=note("predict", [{"id": 1, "label": "=cmd"}, {"id": 2, "label": "大鹏"}]),
        explain=note("explain", [{"column": "a", "share": 0.5}]),
        export=note("export", {"file": "m.onnx"}),
        compress=note("compress", {}),
        serve=note("serve"),
    )
    module = ModuleType("dapeng.api")
    for name, result in {
        "train": run,
        "load": run,
        "init": "outputs: {y: category}\n",
        "compare": {},
        "recipes": [],
    }.items():
        setattr(module, name, note(name, result))
    monkeypatch.setitem(sys.modules, "dapeng.api", module)
    monkeypatch.setattr("dapeng.api", module, raising=False)
    return calls


def test_train_passes_overrides_and_prints_the_run(api, capsys):
    assert main(["train", "a.yaml", "train.epochs=3", "--runs", "out", "inputs.a=text", "--name", "007"]) == 0
    assert capsys.readouterr().out == "runs/r-0001\n"
    overrides = ["train.epochs=3", "inputs.a=text", "name='007'"]
    assert api == [("train", ("a.yaml",), {"overrides": overrides, "target": None, "resume": None, "runs": "out"})]


def test_train_from_data_and_resume(api, capsys):
    assert main(["train", "a.csv", "--target", "x", "--target", "y"]) == 0
    assert api[-1][2]["target"] == ["x", "y"]
    assert main(["train", "--resume", "runs/r-0001", "train.epochs=9"]) == 0
    assert api[-1][1:] == (
        (None,),
        {"overrides": ["train.epochs=9"], "target": None, "resume": "runs/r-0001", "runs": "runs"},
    )
    assert main(["train"]) == 2
    assert "nothing to train" in capsys.readouterr().err


def test_thin_verbs_call_the_run(api, capsys):
    assert main(["evaluate", "R", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"accuracy": 0.9, "n": {"rows": 3}}
    assert main(["evaluate", "R", "d.csv"]) == 0
    assert capsys.readouterr().out == "accuracy  0.9\nn.rows      3\n"
    assert main(["explain", "R", "d.csv", "--rows", "2"]) == 0
    assert main(["export", "R", "--format", "onnx", "--to", "x"]) == 0
    assert main(["compress", "R", "--to", "int8", "--out", "D"]) == 0
    assert main(["serve", "R", "--port", "9"]) == 0
    assert main(["init", "d.csv"]) == 0
    assert main(["compare", "R", "S"]) == 0
    assert main(["recipes"]) == 0
    done = {name: (args, named) for name, args, named in api}
    assert done["explain"] == (("d.csv",), {"rows": 2})
    assert done["export"] == (("onnx", "x"), {})
    assert done["compress"] == (("int8", "D"), {})
    assert done["serve"] == ((), {"host": "127.0.0.1", "port": 9})
    assert done["init"] == (("d.csv", None), {})


def test_predictions_as_csv_are_harmless_to_spreadsheets(api, capsys, tmp_path):
    assert main(["predict", "R", "d.csv"]) == 0
    assert capsys.readouterr().out == "id,label\n1,'=cmd\n2,大鹏\n"
    assert main(["predict", "R", "d.csv", "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[1]) == {"id": 2, "label": "大鹏"}
    for name in ("p.csv", "p.jsonl", "p.parquet"):
        assert main(["predict", "R", "d.csv", "--to", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 10
    capsys.readouterr()
    assert main(["predict", "R", "d.csv", "--to", "p.xls"]) == 2


def test_a_run_that_was_changed_or_has_no_figures_is_not_evaluated(tmp_path, capsys):
    folder = RunFolder.create(tmp_path, "r")
    folder.write_json("columns.json", {"inputs": {}})
    folder.write_json("compress.json", {})
    folder.manifest()
    assert main(["evaluate", str(folder.path)]) == 2
    err = capsys.readouterr().err
    assert "is compressed" in err
    assert f"hint: dapeng evaluate {folder.path} DATA\n" in err
    folder.write_json("metrics.json", {"outputs": {}, "verdict": "good"})
    folder.file("columns.json").write_text("{}")
    assert main(["evaluate", str(folder.path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "columns.json has 2 bytes" in captured.err


def test_init_names_the_data_as_it_was_typed_so_that_check_finds_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    (tmp_path / "my data" / "x.csv").write_text(
        "a,y\n" + "".join(f"{i * 7 % 40 / 8},{'uv'[i % 2]}\n" for i in range(40))
    )
    assert main(["init", "my data/x.csv", "--target", "y"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("data: my data/x.csv\ninputs:\n  a: number")
    (tmp_path / "x.yaml").write_text(text)
    assert main(["check", "x.yaml"]) == 0


def test_show_prints_every_value_with_its_origin_and_reads_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(
        "data: a.csv\ninputs:\n  n: number\noutputs:\n  y: {type: category, loss: focal}\n"
    )
    assert main(["show", "s.yaml", "train.epochs=3"]) == 0
    out = capsys.readouterr().out
    lines = {line.split("#")[0].strip(): line.partition("# ")[2] for line in out.splitlines()}
    assert lines["path: a.csv"] == "s.yaml:1"
    assert lines["type: number"] == "s.yaml:3"
    assert lines["type: focal"] == "s.yaml:5"
    assert lines["epochs: 3.0"] == "typed: train.epochs=3"
    assert lines["seed: 0"] == "default"
    again, first = load_spec(out).spec, load_spec("s.yaml", ["train.epochs=3"]).spec
    assert again.train == first.train
    assert again.outputs == first.outputs


def test_check_reports_the_spec_before_it_looks_at_data(tmp_path, capsys):
    (tmp_path / "s.yaml").write_text("inputs: {a: numbr}\noutputs: {y: category}\n")
    assert main(["check", str(tmp_path / "s.yaml")]) == 2
    assert "unknown type 'numbr'" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "s.yaml"), "inputs.a=number", "--spec-only"]) == 0


def test_runs_lists_runs_and_says_which_is_damaged(tmp_path, capsys):
    RunFolder.create(tmp_path, "a").mark("done", headline="accuracy 0.91")
    broken = RunFolder.create(tmp_path, "b")
    (broken.path / "run.json").write_text("{")
    assert main(["runs", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "accuracy 0.91" in out
    assert "damaged" in out
    assert main(["runs", "--runs", str(tmp_path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_help_explains_kinds_members_and_keys(capsys):
    assert main(["help"]) == 0
    assert "encoders" in capsys.readouterr().out
    assert main(["help", "columns"]) == 0
    assert "number" in capsys.readouterr().out
    assert main(["help", "number"]) == 0
    out = capsys.readouterr().out
    assert "scale: one of standard, log, none = standard" in out
    assert "NAME: {type: number" in out
    assert main(["help", "train.batch_size"]) == 0
    assert "at least 1" in capsys.readouterr().out
    assert main(["help", "catgory"]) == 2
    assert "did you mean 'category'?" in capsys.readouterr().err
    assert main(["help", "serve"]) == 2
    assert "dapeng serve --help" in capsys.readouterr().err


def test_every_member_can_be_explained():
    from dapeng.cli.describe import find, registries

    for registry in registries().values():
        for tag in registry.members():
            assert find(tag)


def test_doctor_says_what_is_there_in_text_and_json(capsys):
    assert main(["doctor", "--json"]) in (0, 1)
    facts = json.loads(capsys.readouterr().out)
    assert facts["machine"]["cores"] >= 1
    assert {"name": "torch", "installed": __import__("importlib.metadata").metadata.version("torch")} in facts[
        "packages"
    ]
    assert all(extra["install"].startswith("pip install 'dapeng[") for extra in facts["extras"])
    assert main(["doctor"]) in (0, 1)
    assert "Chinese font" in capsys.readouterr().out


def test_runs_tells_a_run_whose_process_was_killed_from_one_that_runs(tmp_path, capsys):
    folder = RunFolder.create(tmp_path, "a")
    folder.mark("running")
    assert main(["runs", "--runs", str(tmp_path)]) == 0
    assert "running" in capsys.readouterr().out  # nothing tells that its process is gone
    with lock(folder.path / TRAINING):
        assert main(["runs", "--runs", str(tmp_path)]) == 0
        assert "running" in capsys.readouterr().out
    assert main(["runs", "--runs", str(tmp_path)]) == 0
    assert "killed" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["dapeng.api.training.make", "dapeng.report.write.write_report"])
def test_an_unexpected_error_leaves_a_run_marked_as_failed(tmp_path, monkeypatch, capsys, place):
    def broken(*_):
        raise ZeroDivisionError("by nothing")

    rows = "".join(f"{i * 7 % 40},{'uv'[i % 2]}\n" for i in range(40))
    (tmp_path / "rows.csv").write_text(f"a,y\n{rows}")
    monkeypatch.setattr(place, broken)
    model = ["model=linear", "evaluate.baselines=[]"]
    assert main(["train", str(tmp_path / "rows.csv"), "--target", "y", "--runs", str(tmp_path / "r"), *model]) == 1
    about = RunFolder.open(tmp_path / "r" / "rows-0001").about()
    assert about["status"] == "failed"
    assert about["error"] == "unexpected ZeroDivisionError: by nothing"
