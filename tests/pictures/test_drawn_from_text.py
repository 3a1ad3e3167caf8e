"""Pictures under a text, the whole way, for each way of drawing and several readers of the text: what is said decides what is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shades import shades  # type: ignore[import-not-found]

import dapeng
from dapeng.cli.main import main

UNET = {"type": "unet", "width": 8, "blocks": 1, "heads": 0}
PAIRS = {
    "objective": {"type": "adversarial", "real_penalty": 0.1, "drawn_penalty": 0.1},
    "optimiser": {"type": "adam", "betas": [0.0, 0.99]},
}
TRANSFORMER = {"type": "transformer", "embed_dim": 16, "num_heads": 2, "num_layers": 1}
WAYS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "flow": (
        "bag",
        {"type": "flow", "steps": 4, "guidance": 2.0, "denoiser": UNET},
        {"steps": 60, "learning_rate": 5e-3},
    ),
    "diffusion": (
        TRANSFORMER,
        {"type": "diffusion", "steps": 4, "denoiser": UNET},
        {"steps": 60, "learning_rate": 5e-3},
    ),
    "dcgan": (
        {"type": "gru", "embed_dim": 16, "hidden": 16},
        {"type": "dcgan", "width": 8, "levels": 1, "noise": 8},
        {"steps": 150, "learning_rate": 1e-2, "phases": [PAIRS]},
    ),
    "r3gan": ("text_cnn", {"type": "r3gan", "width": 8, "blocks": 1, "noise": 8}, {"steps": 80, "learning_rate": 1e-3}),
}
"""What reads the text, what draws, and how it is taught."""
SAID = {
    "dark": ["so dark tonight", "a black night", "nothing but dark shadow"],
    "bright": ["a bright morning", "the sun is bright", "white light of day"],
}
UNHEARD = {"dark": "a dark shadow tonight", "bright": "the bright light of a morning"}
"""Texts that are in no row, of words that are."""
SPLIT = {"by": "random", "train": 0.8, "validation": 0.1, "test": 0.1}


def rows() -> list[dict[str, Any]]:
    """Bright and dark pictures, and what was said of each in one of three ways."""
    draw = np.random.default_rng(1)
    return [{"said": SAID[kind][draw.integers(3)], "picture": picture} for kind, picture in shades()]


@pytest.fixture(scope="module", params=WAYS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    encoder, decoder, train = WAYS[request.param]
    return dapeng.train(
        rows(),
        data={"split": SPLIT},
        inputs={"said": {"type": "text", "tokeniser": "words", "encoder": encoder}},
        outputs={"picture": {"type": "image", "decoder": decoder}},
        model="network",
        train={**train, "batch_size": 32, "threads": 1, "precision": "fp32", "ema": 0.9, "time_limit": "10m"},
        evaluate={"baselines": [], "resamples": 0},
        runs=tmp_path_factory.mktemp(request.param),
    )


def drawn(run: Any, text: str) -> np.ndarray:
    """How bright each of eight pictures is, (8,); row by row of the same noise whatever the text is."""
    return run.answer([{"said": text}] * 8).tensors["picture"]["pixels"].astype(np.float64).mean((1, 2, 3))


def test_what_is_said_decides_what_is_drawn(run: Any) -> None:
    """The noise is that of the rows: without the text, both would be the same pictures."""
    dark = np.stack([drawn(run, text) for text in (*SAID["dark"], UNHEARD["dark"])])
    bright = np.stack([drawn(run, text) for text in (*SAID["bright"], UNHEARD["bright"])])
    assert bright.mean() > dark.mean() + 60, (dark.round(), bright.round())
    assert (bright.mean(0) > dark.mean(0)).all()


def test_a_table_of_texts_becomes_a_folder_of_pictures_and_the_report_shows_some(run: Any, tmp_path: Path) -> None:
    data = tmp_path / "asked.csv"
    data.write_text("said\na black night\na bright morning\n")
    assert main(["predict", str(run.path), str(data), "--to", str(tmp_path / "drawn.csv")]) == 0
    lines = (tmp_path / "drawn.csv").read_text().splitlines()
    assert lines == ["picture", "drawn-picture/000001.png", "drawn-picture/000002.png"]
    night, morning = (np.asarray(Image.open(tmp_path / line)).mean() for line in lines[1:])
    assert morning > night
    html = (run.path / "report.html").read_text(encoding="utf-8")
    assert "What was drawn" in html
