"""What is wrong with an export is said in words, with what to type next, status 2, and nothing of anybody is lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from test_transformers import language  # type: ignore[import-not-found]

from dapeng.cli.main import main
from dapeng.core.files import atomic_path
from dapeng.core.run import RunFolder
from dapeng.export.layout import made_here
from trained import iris_run, trees_run


def refused(words: list[Any], capsys: Any) -> str:
    """What `dapeng export` says, which is an error with a hint."""
    assert main(["export", *map(str, words)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("error: ") == 1
    assert "\n  hint: " in said.err
    assert "Traceback" not in said.err
    return said.err


def listed(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A folder with a file, and a folder of somebody's own with a name that an export uses too."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "predict.py").write_text("print('mine')")
    return tmp_path


def test_what_is_no_run_is_said(tmp_path: Path, capsys: Any) -> None:
    assert "is not a run folder: it has no run.json" in refused([tmp_path], capsys)
    assert f"there is no run folder {tmp_path / 'none'}" in refused([tmp_path / "none"], capsys)
    untrained = RunFolder.create(tmp_path / "runs", "early")
    assert f"hint: dapeng train --resume {untrained.path}" in refused([untrained.path], capsys)


def test_a_run_whose_weights_were_changed_is_not_exported(tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(iris_run()[0].path, tmp_path / "run")
    with open(tmp_path / "run" / "weights.safetensors", "ab") as file:
        file.write(b"x")
    assert "weights.safetensors" in refused([tmp_path / "run"], capsys)


def test_a_format_that_there_is_not_gets_the_nearest_name(capsys: Any) -> None:
    assert "hint: did you mean 'standalone'?" in refused([iris_run()[0].path, "--format", "standalon"], capsys)
    assert "hint: one of gguf, " in refused([iris_run()[0].path, "--format", "h5"], capsys)


@pytest.mark.parametrize(
    ("form", "to", "said"),
    [
        ("onnx", "notes.txt", "notes.txt does not end in .onnx.*hint: --to .*notes.onnx, or a folder"),
        ("torch", "model.onnx", "model.onnx does not end in .pt2.*hint: --to .*model.pt2"),
        ("onnx", "notes.txt/model.onnx", "notes.txt is no folder.*hint: choose another place"),
        ("standalone", "notes.txt", "notes.txt is a file, and a folder is written.*hint: --to .*notes-model"),
        ("tensorboard", "notes.txt", "notes.txt is a file, and tensorboard writes a folder"),
        ("standalone", "mine", "what no export has left in it would be lost: predict.py.*hint: --to .*mine/model"),
        ("transformers", ".", "would be lost: mine, notes.txt"),
    ],
)
def test_nothing_of_somebody_else_is_written_over(form: str, to: str, said: str, taken: Path, capsys: Any) -> None:
    before = listed(taken)
    assert re.search(said, refused([iris_run()[0].path, "--format", form, "--to", taken / to], capsys), re.DOTALL)
    assert listed(taken) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc, where nothing can be made")
@pytest.mark.parametrize(("form", "name"), [("onnx", "m.onnx"), ("torch", "a/m.pt2"), ("standalone", "alone")])
def test_where_nothing_can_be_made_is_said(form: str, name: str, capsys: Any) -> None:
    run = (trees_run if form == "standalone" else iris_run)()[0].path
    said = refused([run, "--format", form, "--to", f"/proc/{name}"], capsys)
    assert f"can't write /proc/{name}: nothing can be made in /proc" in said


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions don't bind whom this runs as")
def test_a_folder_that_may_not_be_written_into_is_said(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    said = refused([trees_run()[0].path, "--format", "standalone", "--to", tmp_path / "locked" / "alone"], capsys)
    assert "Permission denied" in said


def test_the_run_itself_and_the_folder_one_is_in_are_no_places(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trees_run()[0].path
    assert "hint: leave --to out" in refused([run, "--format", "standalone", "--to", run], capsys)
    monkeypatch.chdir(tmp_path)
    assert "the folder that you are in" in refused([run, "--format", "standalone", "--to", "."], capsys)


def test_a_run_of_another_kind_gets_the_formats_that_hold_it(capsys: Any) -> None:
    pytest.importorskip("gguf", reason="needs gguf (dapeng[gguf])")
    table, trees, writes = iris_run()[0].path, trees_run()[0].path, language("llama").path
    assert "hint: --format standalone or --format onnx" in refused([table, "--format", "gguf"], capsys)
    assert "hint: --format standalone or --format onnx" in refused([table, "--format", "transformers"], capsys)
    assert "hint: --format standalone, or train with model=network" in refused([trees, "--format", "onnx"], capsys)
    for form in ("onnx", "torch", "standalone"):
        assert "hint: --format gguf or --format transformers" in refused([writes, "--format", form], capsys)


@pytest.mark.parametrize(
    ("form", "package", "extra"),
    [("onnx", "onnxruntime", "export"), ("standalone", "onnxscript", "export"), ("gguf", "gguf", "gguf")],
)
def test_an_extra_that_is_missing_is_named(
    form: str, package: str, extra: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = (language("llama") if form == "gguf" else RunFolder(iris_run()[0].path)).path
    monkeypatch.setitem(sys.modules, package, None)
    said = refused([run, "--format", form, "--to", tmp_path / "out"], capsys)
    assert f"hint: pip install 'dapeng[{extra}]'" in said
    assert not list(tmp_path.iterdir())


def test_an_earlier_export_is_replaced_where_nothing_else_lies_in_it(tmp_path: Path, capsys: Any) -> None:
    run, to = trees_run()[0].path, tmp_path / "alone"
    for _ in range(2):
        assert main(["export", str(run), "--format", "standalone", "--to", str(to)]) == 0
    capsys.readouterr()
    (to / "my data.csv").write_text("a")
    assert "would be lost: my data.csv\n" in refused([run, "--format", "standalone", "--to", to], capsys)
    assert (to / "my data.csv").read_text() == "a"


@pytest.mark.parametrize("name", ["my notes.txt", "2026-results", "0-linearly", "linear"])
def test_what_somebody_puts_into_an_export_stays_in_the_usual_place_too(name: str, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(trees_run()[0].path, tmp_path / "run")
    words = ["export", str(tmp_path / "run"), "--format", "standalone"]
    mine = tmp_path / "run" / "export" / "standalone" / name
    for _ in range(2):
        assert main(words) == 0
    mine.mkdir() if "." not in name else mine.write_text("mine")
    capsys.readouterr()
    assert f"would be lost: {name}\n" in refused(words[1:], capsys)
    assert mine.exists()


@pytest.mark.parametrize("to", ["none/..", "none/../new", "none/../alone"])
def test_a_way_through_a_folder_that_is_not_there_is_no_place(
    to: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    said = refused([trees_run()[0].path, "--format", "standalone", "--to", to], capsys)
    assert ("the folder that you are in" if to == "none/.." else "leads through none, which is no folder") in said
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["alone", "notes.txt"]


def test_an_export_through_a_link_fills_the_folder_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for _ in range(2):
        words = ["export", str(trees_run()[0].path), "--format", "standalone", "--to", str(tmp_path / "link")]
        assert main(words) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "predict.py").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_weights_of_somebody_else_are_not_replaced(tmp_path: Path, capsys: Any) -> None:
    run, to = language("llama").path, tmp_path / "lm"
    for _ in range(2):
        assert main(["export", str(run), "--format", "transformers", "--to", str(to)]) == 0
    assert made_here(to / "model.safetensors")
    from safetensors.numpy import load_file, save_file

    save_file(load_file(to / "model.safetensors"), to / "model.safetensors", {"format": "pt"})  # as others write them
    capsys.readouterr()
    said = refused([run, "--format", "transformers", "--to", to], capsys)
    assert "would be lost: config.json, generation_config.json" in said
    assert f"hint: --to {to / 'model'}, or remove it by hand if an earlier release has exported it" in said
    assert not made_here(to / "config.json")


def test_what_is_named_within_the_run_folder_is_known_to_its_manifest(tmp_path: Path) -> None:
    shutil.copytree(trees_run()[0].path, tmp_path / "run")
    inside = tmp_path / "run" / "export" / "mine"
    assert main(["export", str(tmp_path / "run"), "--format", "standalone", "--to", str(inside)]) == 0
    known = json.loads((tmp_path / "run" / "MANIFEST.json").read_text())["files"]
    assert "export/mine/predict.py" in known
    RunFolder.open(tmp_path / "run").verify()


def test_a_file_that_is_not_finished_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("old")

    def differs() -> None:
        with atomic_path(tmp_path / "m.onnx") as new:
            new.write_text("new")
            raise ValueError("it differs")

    with pytest.raises(ValueError, match="differs"):
        differs()
    assert listed(tmp_path) == {"m.onnx": "old"}
    with atomic_path(tmp_path / "m.onnx") as new:
        new.write_text("new")
    assert listed(tmp_path) == {"m.onnx": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
