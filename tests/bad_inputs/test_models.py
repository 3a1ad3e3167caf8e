"""Models that are asked for answers which they can't give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dapeng import api
from dapeng.core.errors import SpecError


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("audio", "audio"),
        ("image", "image"),
        ({"type": "boxes", "of": "b"}, "boxes"),
        ({"type": "mask", "of": "b"}, "mask"),
    ],
)
@pytest.mark.parametrize("model", ["linear", "trees"])
def test_a_classical_model_of_what_it_cannot_answer_is_refused_before_training(
    tmp_path: Path, output: Any, kind: str, model: str
) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "x,y.png\n" * 40)
    spec = {"data": str(tmp_path / "rows.csv"), "inputs": {"b": "image"}, "outputs": {"a": output}, "model": model}
    with pytest.raises(SpecError, match=f"outputs.a: model: {model} has no answer of type {kind}") as caught:
        api.train(spec, runs=tmp_path / "runs")
    assert caught.value.problems[0].hint == "model=network"


def test_a_classical_model_of_a_label_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "x,1\ny,2\n" * 40)
    spec = {"data": str(tmp_path / "rows.csv"), "inputs": {"b": "number"}, "outputs": {"a": "category"}}
    run = api.train({**spec, "model": "linear", "evaluate": {"resamples": 0}}, runs=tmp_path / "runs")
    assert run.metrics["headline"]["value"] == 1.0
