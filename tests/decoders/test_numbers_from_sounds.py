"""A number out of a sound, the whole way: the pitch of a noisy tone, in Hertz, from files to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from dapeng import api
from dapeng.cli.main import main

RATE = 8000
LOW, HIGH = 200.0, 1200.0


def tone(pitch: float, draw: np.random.Generator) -> np.ndarray:
    """0.15 to 0.3 seconds of two harmonics and noise, of any loudness: neither length nor loudness tells the pitch."""
    time = np.arange(int(RATE * draw.uniform(0.15, 0.3))) / RATE
    start = draw.uniform(0, 2 * np.pi)
    found = np.sin(2 * np.pi * pitch * time + start) + 0.4 * np.sin(4 * np.pi * pitch * time + 2 * start)
    return draw.uniform(0.1, 0.5) * found + 0.02 * draw.normal(size=len(time))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("pitches")
    draw = np.random.default_rng(0)
    rows = []
    for i in range(240):
        pitch = round(float(draw.uniform(LOW, HIGH)), 1)
        soundfile.write(folder / f"{i}.wav", tone(pitch, draw), RATE)
        rows.append({"clip": f"{i}.wav", "pitch": pitch})
    (folder / "tones.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    spec = {
        "data": {
            "path": str(folder / "tones.jsonl"),
            "split": {"by": "random", "train": 0.7, "validation": 0.1, "test": 0.2},
        },
        "inputs": {
            "clip": {
                "type": "audio",
                "rate": RATE,
                "augment": "none",
                "encoder": {"type": "spectrogram_cnn", "width": 8},
            }
        },
        "outputs": {"pitch": "number"},
        "model": "network",
        "train": {
            "epochs": 8,
            "batch_size": 16,
            "learning_rate": 5e-3,
            "threads": 1,
            "precision": "fp32",
            "time_limit": "10m",
        },
        "evaluate": {"baselines": ["constant"], "resamples": 60},
    }
    return folder, api.train(spec, runs=folder / "runs")


def test_the_pitch_is_found_better_than_by_the_mean_of_all(made: tuple[Path, Any]) -> None:
    _, run = made
    found = run.metrics["outputs"]["pitch"]
    assert found["rows"] == 48
    board = {r["name"]: r["metrics"] for r in found["leaderboard"]}
    network, mean = (board[n]["rmse"] for n in ("network", "constant"))
    assert network["high"] < 0.4 * mean["low"]
    assert board["network"]["r2"]["value"] > 0.9
    assert "Always answering the mean" in run.metrics["verdict"]


def test_a_table_of_files_becomes_a_table_of_numbers_in_hertz(made: tuple[Path, Any], tmp_path: Path) -> None:
    _, run = made
    draw = np.random.default_rng(1)
    pitches = [300.0, 600.0, 1100.0]
    for i, pitch in enumerate(pitches):
        soundfile.write(tmp_path / f"new{i}.flac", tone(pitch, draw), RATE)
    (tmp_path / "new.csv").write_text("clip\n" + "".join(f"new{i}.flac\n" for i in range(3)))
    assert main(["predict", str(run.path), str(tmp_path / "new.csv"), "--to", str(tmp_path / "found.csv")]) == 0
    head, *found = (tmp_path / "found.csv").read_text().splitlines()
    assert head == "pitch"
    np.testing.assert_allclose([float(v) for v in found], pitches, atol=150)


def test_the_report_shows_predicted_beside_true_numbers(made: tuple[Path, Any]) -> None:
    _, run = made
    html = (run.path / "report.html").read_text(encoding="utf-8")
    for heading in ("Beside simpler models", "Predicted and true", "Worst errors"):
        assert f">{heading}<" in html


def test_a_sound_that_cant_be_read_is_told_and_the_others_are_answered(
    made: tuple[Path, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, run = made
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    asked = [{"clip": str(folder / "0.wav")}, {"clip": str(tmp_path / "bad.wav")}]
    found = run.predict(asked).column("pitch").to_pylist()
    assert found[1] is None
    assert LOW - 150 < found[0] < HIGH + 150
    assert "clip: not a sound that can be read" in capfd.readouterr().err
