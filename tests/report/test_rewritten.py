"""Whatever a verb leaves in a run folder is in the report when the verb ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from dapeng import api
from dapeng.cli.main import main
from trained import iris_run


@pytest.fixture(scope="module")
def run():
    return api.load(iris_run()[0].path)


def report(path: Path) -> str:
    return (path / "report.html").read_text(encoding="utf-8")


def test_explaining_rewrites_the_report(run):
    run.explain(rows=2)
    assert report(run.path).count("<h4>Row ") == 2
    assert main(["explain", str(run.path), "--rows", "3"]) == 0
    assert report(run.path).count("<h4>Row ") == 3
    api.load(run.path).folder.verify()


def test_exporting_and_compressing_rewrite_the_report(run, tmp_path):
    run.export("torch")
    assert "export/torch/model.pt2" in report(run.path)
    run.compress("int8", tmp_path / "small")
    assert "Size and speed" in report(tmp_path / "small")
    api.load(tmp_path / "small").folder.verify()
