"""A corpus larger than memory: tokenised as a stream into mapped files, learnt from in windows, with memory that stays flat."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BOUND = 60
"""MB of its own memory that a process may take more for four times as much text; pages of files the system takes back at need."""
SCRIPT = """
import sys, threading, time
import dapeng.api.session as session, dapeng.api.training, dapeng.train.network, dapeng.checks.look, sklearn, lightgbm
from dapeng import api
from dapeng.data import held, prepare
from dapeng.data.sources import jsonl
from dapeng.train import setting

session.TEXT_BYTES, jsonl.BLOCK_BYTES, held.BLOCK_BYTES, prepare.TOKENS_IN_MEMORY = 2 << 20, 1 << 20, 1 << 20, 4 << 20
peak = 0.0
def watch():
    global peak
    while True:
        with open("/proc/self/status") as file:
            peak = max(peak, next(float(line.split()[1]) / 1e3 for line in file if line.startswith("RssAnon")))
        time.sleep(0.01)
threading.Thread(target=watch, daemon=True).start()

mapped = []
class Feed(setting.PackedFeed):
    def __init__(self, name, stored, *rest):
        super().__init__(name, stored, *rest)
        mapped.append((type(stored.tensors["ids"]).__name__, self.tokens))
setting.PackedFeed = Feed

small = {"type": "llama", "embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
split = {"by": "random", "train": 0.99, "validation": 0.005, "test": 0.005}
api.train(
    {
        "data": {"path": sys.argv[1], "split": split},
        "outputs": {"text": {"type": "text", "tokeniser": "bytes", "max_length": 128, "decoder": small}},
        "train": {"steps": 20, "batch_size": 8, "threads": 1},
        "evaluate": {"baselines": [], "resamples": 0},
    },
    runs=sys.argv[2],
)
print(peak, *mapped[0])
"""


def corpus(path: Path, size: int) -> Path:
    """About so many bytes of made-up texts of about 1 kB, more than are looked at for types; those that test and validate are few."""
    draw = np.random.default_rng(0)
    words = np.array(["".join(map(chr, draw.integers(97, 123, n))) for n in draw.integers(2, 9, 5_000)])
    with path.open("w") as file:
        while file.tell() < size:
            file.write(json.dumps({"text": " ".join(draw.choice(words, int(draw.integers(50, 350))))}) + "\n")
    return path


def trained(folder: Path, size: int) -> tuple[float, str, int]:
    """Peak of its own memory in MB of a process that trains on so much text; what its tokens lie in; and how many there are."""
    folder.mkdir()
    told = [sys.executable, "-c", SCRIPT, str(corpus(folder / "texts.jsonl", size)), str(folder / "runs")]
    done: Any = subprocess.run(told, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    peak, kind, tokens = done.stdout.split()[-3:]
    return float(peak), kind, int(tokens)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which memory is a process's own")
def test_four_times_as_much_text_takes_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    little, kind, few = trained(tmp_path / "little", 12_000_000)
    much, same, many = trained(tmp_path / "much", 48_000_000)
    assert (kind, same) == ("memmap", "memmap")
    assert many > 3.5 * few > 35_000_000
    assert much - little < BOUND, (little, much)
