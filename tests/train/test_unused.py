"""A network without a share is judged, said to have none, and not kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dapeng
from dapeng.core.errors import RunError


def test_a_network_without_a_share_is_judged_and_not_kept(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"a": generator.normal(size=2400), "b": generator.normal(size=2400)})
    table["y"] = 3 * table["a"] - table["b"]  # a linear model is exact
    table.to_csv(tmp_path / "line.csv", index=False)
    run = dapeng.train(str(tmp_path / "line.csv"), outputs="y", train={"epochs": 1}, runs=tmp_path)
    board = {r["name"]: r for r in run.metrics["outputs"]["y"]["leaderboard"]}
    assert board["network"]["share"] == 0
    assert board["linear"]["share"] == 1
    assert not (run.path / "weights.safetensors").exists()
    assert "no part of it" in (run.path / "report.html").read_text(encoding="utf-8")
    found = dapeng.load(run.path).predict([{"a": 1.0, "b": 1.0}]).to_pylist()[0]["y"]
    assert found == pytest.approx(2.0, abs=0.05)
    with pytest.raises(RunError, match="no network"):
        run.compress("int8")
