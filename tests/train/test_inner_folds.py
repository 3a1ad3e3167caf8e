"""Few rows to train on, and others to test on: folds of the training rows choose, and no test row is seen before the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dapeng
from dapeng.core.run import FOLDS


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)

    def made(rows: int) -> pd.DataFrame:
        x = draw.normal(size=(rows, 4))
        y = np.where(x[:, 0] + x[:, 1] ** 2 - 1 + 0.5 * draw.normal(size=rows) > 0, "yes", "no")
        return pd.DataFrame({**{f"x{i}": x[:, i] for i in range(4)}, "y": y})

    made(400).to_csv(tmp_path / "train.csv", index=False)
    made(200).to_csv(tmp_path / "test.csv", index=False)
    return tmp_path / "train.csv", tmp_path / "test.csv"


def trained(train: Path, test: Path, **more: Any) -> Any:
    return dapeng.train(
        {
            "data": {"train": str(train), "test": str(test)},
            "inputs": {f"x{i}": "number" for i in range(4)},
            "outputs": {"y": "category"},
            "train": {"epochs": 8, "threads": 1},
            "evaluate": {"baselines": [], "resamples": 0},
            **more,
        }
    )


def test_folds_choose_and_the_given_rows_test(tables: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(*tables)
    said = capsys.readouterr().err
    assert "4 folds of which choose; 200 test" in said
    assert "training on all 400 rows" in said
    found = run.metrics["outputs"]["y"]
    assert found["rows"] == 200
    assert found["leaderboard"][0]["metrics"]["accuracy"]["value"] > 0.8
    assert sum(run.product.shares["y"].values()) == pytest.approx(1.0, abs=1e-3)
    assert not (Path(run.path) / FOLDS).exists()


def test_test_rows_change_nothing_of_the_model(tables: tuple[Path, Path]) -> None:
    """Other test rows, other answers even: the same product, to the bit."""
    train, test = tables
    first = trained(train, test)
    other = pd.read_csv(test)
    other["y"] = other["y"].map({"yes": "no", "no": "yes"})
    other.sample(frac=0.5, random_state=1).to_csv(test, index=False)
    second = trained(train, test)
    asked = {f"x{i}": np.linspace(-2, 2, 50) for i in range(4)}
    np.testing.assert_array_equal(
        first.answer(asked).tensors["y"]["probabilities"], second.answer(asked).tensors["y"]["probabilities"]
    )


def test_a_split_that_was_asked_for_is_kept(tables: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    train, test = tables
    data = {"train": str(train), "test": str(test), "split": {"by": "given"}}
    trained(train, test, data=data)
    assert "folds" not in capsys.readouterr().err
