"""A pretraining or a preference that is told to end goes on from its checkpoint, and ends with the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dapeng.core.files import write_yaml

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a process there at once"),
]
WORDS = ["sun", "moon", "rain", "snow", "wind", "leaf"]
TRAIN = {"threads": 1, "batch_size": 16, "learning_rate": 1e-3, "checkpoint_every": 7}
MASKED: dict[str, Any] = {
    "inputs": {
        "a": {
            "type": "text",
            "encoder": {"type": "bert", "embed_dim": 32, "num_layers": 2, "num_heads": 2, "positions": 16},
        }
    },
    "outputs": {"y": "category"},
    "train": {**TRAIN, "phases": [{"objective": "masked", "epochs": 12}, {"objective": "supervised", "epochs": 2}]},
}
PREFERENCE: dict[str, Any] = {
    "outputs": {
        "a": {
            "type": "text",
            "tokeniser": "characters",
            "decoder": {"type": "llama", "embed_dim": 32, "num_layers": 2, "num_heads": 2},
        }
    },
    "columns": {"b": "rejected"},
    "train": {**TRAIN, "phases": [{"objective": "preference", "epochs": 12}]},
}


def dapeng(folder: Path, *arguments: str, stop: bool = False) -> tuple[int, str]:
    """Exit status and what was said; with `stop`, SIGTERM after the second checkpoint."""
    environment = {**os.environ, "DAPENG_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "dapeng", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment
    )
    began = time.monotonic()
    while stop and process.poll() is None and time.monotonic() - began < 120:
        if len(list((folder / "runs").glob("*/checkpoints/*"))) >= 2:
            process.send_signal(signal.SIGTERM)
            break
        time.sleep(0.01)
    _, said = process.communicate()
    return process.returncode, said


@pytest.mark.parametrize("spec", [MASKED, PREFERENCE], ids=["masked", "preference"])
def test_a_stopped_phase_ends_as_if_it_had_not_been(spec: dict[str, Any], tmp_path: Path) -> None:
    draw = random.Random(0)
    rows = [
        {"a": " ".join(draw.choices(WORDS, k=6)), "b": " ".join(draw.choices(WORDS, k=4)), "y": draw.choice("pq")}
        for _ in range(300)
    ]
    found = {}
    for name in ("whole", "stopped"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        quiet = {"model": "network", "evaluate": {"baselines": [], "resamples": 0}}
        data = {"path": "rows.jsonl", "split": {"by": "random"}}
        write_yaml(folder / "s.yaml", {"data": data, **spec, **quiet})
        code, said = dapeng(folder, "train", "s.yaml", stop=name == "stopped")
        (run,) = (folder / "runs").glob("*")
        if name == "stopped":
            assert "a checkpoint is safe" in said
            code, said = dapeng(folder, "train", "--resume", str(run))
            assert "resumed at step" in said
        assert code == 0, said
        found[name] = load_file(run / "weights.safetensors")
    for name, tensor in found["whole"].items():
        assert torch.equal(tensor, found["stopped"][name]), name
