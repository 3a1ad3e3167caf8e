"""`dapeng chat` with an engine and weights: for language models, and in words where a run is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dapeng import api
from dapeng.cli.main import main

SMALL = {"embed_dim": 16, "num_layers": 1, "num_heads": 2}


def trained(folder: Path, inputs: dict[str, Any]) -> str:
    rows = [f"{a} likes {b}" for a in ("cat", "dog", "cow", "hen") for b in ("bread", "milk", "honey", "rice")] * 4
    (folder / "rows.csv").write_text("line,said\n" + "".join(f"{r},{r.upper()}\n" for r in rows))
    spec = {
        "data": {"path": str(folder / "rows.csv"), "split": {"by": "random"}},
        "inputs": inputs,
        "outputs": {"line": {"type": "text", "tokeniser": "bytes", "decoder": {"type": "llama", **SMALL}}},
        "model": "network",
        "train": {"batch_size": 8, "steps": 2, "threads": 1},
        "evaluate": {"baselines": [], "resamples": 0},
    }
    return str(api.train(spec, runs=folder / "runs").path)


@pytest.mark.parametrize(("flag", "value"), [("--weights", "int4"), ("--engine", "native")])
def test_a_run_that_answers_an_input_takes_no_engine_and_says_what_to_leave_out(
    flag: str, value: str, tmp_path: Path, capsys: Any
) -> None:
    run = trained(tmp_path, {"said": {"type": "text", "encoder": {"type": "transformer", **SMALL}}})
    assert main(["chat", run, "--prompt", "CAT", flag, value]) == 2
    said = capsys.readouterr().err
    assert f"{flag} is for language models; this run answers said" in said
    assert f"leave {flag} out" in said


def test_a_language_model_writes_with_small_weights_and_refuses_others_by_name(tmp_path: Path, capsys: Any) -> None:
    run = trained(tmp_path, {})
    assert main(["chat", run, "--prompt", "cat", "--weights", "int4", "--max-tokens", "4"]) == 0
    capsys.readouterr()
    assert main(["chat", run, "--prompt", "cat", "--weights", "int5"]) == 2
    assert "there is no weights 'int5'" in capsys.readouterr().err
    assert main(["chat", run, "--prompt", "cat", "--engine", "vllm"]) == 2
    assert "there is no engine 'vllm'" in capsys.readouterr().err
