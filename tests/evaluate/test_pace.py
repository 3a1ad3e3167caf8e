"""Real-time factors: told of networks that hear, kept out of what is the same from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dapeng import api
from dapeng.columns.sounding import wav

RATE = 4000


def sounds(folder: Path) -> Path:
    draw, rows = np.random.default_rng(0), []
    for i in range(48):
        time = np.arange(int(RATE * draw.uniform(0.1, 0.2))) / RATE
        rows.append(
            (wav((6000 * np.sin(2 * np.pi * (300 + 900 * (i % 2)) * time)).astype(np.int16), RATE), "ab"[i % 2])
        )
    pd.DataFrame(rows, columns=["clip", "letter"]).to_parquet(folder / "sounds.parquet")
    return folder / "sounds.parquet"


def trained(folder: Path, name: str, kind: str) -> Any:
    inputs = {"clip": {"type": "audio", "encoder": {"type": "spectrogram_cnn", "width": 8, "stages": 1}}}
    spec: dict[str, Any] = {"data": str(sounds(folder)), "inputs": inputs, "outputs": {"letter": kind}}
    train = {"steps": 4, "batch_size": 8, "threads": 1}
    return api.train(
        {**spec, "model": "network", "train": train, "evaluate": {"resamples": 0, "baselines": []}}, runs=folder / name
    )


def test_a_network_that_hears_has_a_real_time_factor_which_no_prediction_holds(tmp_path: Path) -> None:
    first, again = (trained(tmp_path, n, "category") for n in ("first", "again"))
    pace = first.metrics["outputs"]["letter"]["pace"]
    assert (pace["of"], pace["threads"]) == ("heard", 1)
    assert 0.1 <= pace["sound"] / pace["rows"] <= 0.2
    assert pace["real_time_factor"] == pace["seconds"] / pace["sound"]
    assert "s for a second that is heard (1 thread)" in (Path(first.path) / "report.html").read_text("utf-8")
    assert "eal-time factor" not in first.metrics["verdict"], "of what is heard only the report tells"
    for name in ("weights.safetensors", "predictions.parquet", "columns.json"):
        assert (Path(first.path) / name).read_bytes() == (Path(again.path) / name).read_bytes()
    assert first.metrics["verdict"] == again.metrics["verdict"]
