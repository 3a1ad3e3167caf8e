"""A model that writes a text, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from server import serving

from dapeng import api

SMALL = {"embed_dim": 32, "num_layers": 1, "num_heads": 2, "dropout": 0.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("shout")
    words = ["apple", "pear", "fig", "plum", "cherry"] * 60
    (folder / "d.csv").write_text("said,shouted\n" + "".join(f"{w},{w.upper()}\n" for w in words), "utf-8")
    spec = {
        "data": {"path": str(folder / "d.csv"), "split": {"by": "random"}},
        "inputs": {"said": {"type": "text", "tokeniser": "characters", "encoder": {"type": "transformer", **SMALL}}},
        "outputs": {"shouted": {"type": "text", "tokeniser": "characters", "decoder": {"type": "llama", **SMALL}}},
        "model": "network",
        "train": {"epochs": 40, "batch_size": 32, "learning_rate": 5e-3, "threads": 1},
        "evaluate": {"baselines": [], "resamples": 20},
    }
    return api.train(spec, runs=folder / "runs")


def test_a_text_is_answered_as_the_run_itself_answers(run: Any) -> None:
    wanted = run.predict([{"said": "fig"}, {"said": "plum"}])["shouted"].to_pylist()
    assert wanted == ["FIG", "PLUM"]
    with serving(run.path) as server:
        status, reply = server.ask("/predict", {"rows": [{"said": "fig"}, {"said": "plum"}]})
        assert status == 200, reply
        assert [p["shouted"]["value"] for p in reply["predictions"]] == wanted
        assert server.ask("/predict", {"said": 5, "other": 1})[0] == 400
        status, page = server.ask("/")
        assert status == 200
        assert "shouted" in page
        status, schema = server.ask("/openapi.json")
        assert status == 200
        assert "string" in str(schema)
