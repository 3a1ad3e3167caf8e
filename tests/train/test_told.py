"""What training tells of itself while it runs: how much of the machine it uses, and what the network writes by now."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from dapeng import api
from dapeng.columns.text import Text
from dapeng.decoders.writing import WritingDecoder
from dapeng.nn.causal import Shape
from dapeng.nn.tables import Tables
from dapeng.nn.writer import Writer
from dapeng.train import machine
from dapeng.train.loop import _told

LINES = [f"{a} likes {b}" for a in ("cat", "dog", "cow", "hen") for b in ("bread", "milk", "honey", "rice")]


def lines_of(path: Path, key: str) -> list[dict[str, Any]]:
    return [e for e in map(json.loads, path.read_text().splitlines()) if key in e]


def spec(path: Path, decoder: dict[str, Any], inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "data": {"path": str(path), "split": {"by": "random"}},
        "inputs": inputs or {},
        "outputs": {"line": {"type": "text", "tokeniser": "bytes", "decoder": decoder}},
        "model": "network",
        "train": {"batch_size": 8, "learning_rate": 5e-3, "threads": 1, "epochs": 4, "samples": True},
        "evaluate": {"baselines": [], "resamples": 0},
    }


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "lines.csv"
    path.write_text("line,said\n" + "".join(f"{line},{line.upper()}\n" for line in LINES * 8))
    return path


def test_a_language_model_shows_what_it_writes_after_each_validation(table: Path, capfd: Any) -> None:
    small = {"type": "llama", "embed_dim": 32, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
    run = api.train(spec(table, small), runs=table.parent / "runs")
    shown = lines_of(run.path / "metrics.jsonl", "samples")
    judged = lines_of(run.path / "metrics.jsonl", "score")
    assert len(shown) == len(judged) - 1 > 0
    assert all(isinstance(s["samples"]["line"], str) for s in shown)
    said = re.findall(r"step ([\d,]+) writes line: ", capfd.readouterr().err)
    assert [int(s) for s in said] == [s["step"] for s in shown]


def test_what_reads_something_shows_what_it_makes_of_a_validation_row(table: Path) -> None:
    small = {"embed_dim": 16, "num_layers": 1, "num_heads": 2}
    inputs = {"said": {"type": "text", "encoder": {"type": "transformer", **small}}}
    run = api.train(spec(table, {"type": "llama", **small}, inputs), runs=table.parent / "runs")
    shown = lines_of(run.path / "metrics.jsonl", "samples")
    assert shown
    assert set(shown[-1]["samples"]) == {"line"}


def test_showing_texts_changes_nothing_in_what_is_learnt(table: Path) -> None:
    small = {"type": "llama", "embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.1}
    asked = spec(table, small)
    silent = {**asked, "train": {**asked["train"], "samples": False}}
    first, second = (api.train(s, runs=table.parent / "runs") for s in (asked, silent))
    a, b = (lines_of(r.path / "metrics.jsonl", "score") for r in (first, second))
    assert [e["loss"] for e in a] == [e["loss"] for e in b]


def test_work_of_a_token_is_six_for_each_weight_and_attention() -> None:
    options: Any = Text(tokeniser="bytes", decoder={"type": "llama", "embed_dim": 32, "num_layers": 3, "num_heads": 4})  # type: ignore[arg-type]
    summary = options.summary(True)
    summary.add(pa.array(LINES))
    column: Any = options.fitted("line", summary.result(), True)
    decoder = options.decoder.build(column, None, Tables(), options.loss)
    weights = sum(p.numel() for p in decoder.writer.stack.parameters()) + column.size * 32
    assert decoder.work(64) == 6 * weights + 12 * 3 * 32 * 64


def test_of_experts_only_those_that_read_a_token_count() -> None:
    plain, mixed = (Writer(Shape(32, 2, 4, 4, 8, 64, experts=e, active=2), nn.Embedding(99, 32)) for e in (0, 8))
    some: list[Any] = [SimpleNamespace(writer=w) for w in (plain, mixed)]
    few, many = (WritingDecoder.work(s, 16) for s in some)
    one = sum(p.numel() for p in plain.stack.blocks[0].mlp.parameters())  # type: ignore[union-attr]
    assert many - few == 6 * 2 * (one + 8 * 32)


def test_the_line_of_progress_has_speed_use_of_the_machine_and_what_is_left() -> None:
    done: Any = SimpleNamespace(step=30, planned=120, best_score=None, history=[])
    feed: Any = SimpleNamespace(steps_per_epoch=60, per_step=2048, unit="tokens")
    how: Any = SimpleNamespace(work=3e9, peak=1e11)
    line = _told(done, feed, how, 1.5, 3e-4, pace=0.05, left=0.05 * 90)
    assert line == (
        "step 30/120  epoch 0.5  loss 1.5000  lr 0.0003  50.0 ms/step  40,960 tokens/s  MFU 60%  4 s left"
    ), line
    unknown: Any = SimpleNamespace(work=0.0, peak=0.0)
    assert "MFU" not in _told(done, feed, unknown, 1.5, 3e-4, 0.05, 4.5)


def test_the_peak_is_that_of_a_real_product() -> None:
    torch.set_num_threads(1)
    found = machine.peak(None, "cpu")
    assert 1e9 < found < 1e15
    assert np.isfinite(machine.peak(torch.bfloat16, "cpu"))
