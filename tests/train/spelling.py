"""Digits and the same in words: data that texts are learnt from, and runs over it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dapeng import api

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SMALL = {"embed_dim": 48, "num_layers": 2, "num_heads": 2, "dropout": 0.0}
READ = {"type": "text", "tokeniser": "characters", "encoder": {"type": "transformer", **SMALL, "positions": "learned"}}


def numbers(path: Path, rows: int = 700) -> Path:
    """Digits, and the same in words."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            digits = draw.integers(0, 10, int(draw.integers(1, 4)))
            said = " ".join(WORDS[d] for d in digits)
            file.write(json.dumps({"digits": "".join(map(str, digits)), "words": said}) + "\n")
    return path


def trained(folder: Path, output: dict[str, Any], inputs: dict[str, Any], **train: Any) -> Any:
    settings = {"batch_size": 64, "learning_rate": 3e-3, "threads": 1, **train}
    spec = {
        "data": str(numbers(folder / "numbers.jsonl")),
        "inputs": inputs,
        "outputs": {"words": {"type": "text", **output}},
        "model": "network",
        "train": settings,
        "evaluate": {"baselines": [], "resamples": 50},
    }
    return api.train(spec, runs=folder / "runs")
