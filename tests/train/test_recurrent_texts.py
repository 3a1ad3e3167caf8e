"""Recurrent networks that write, through the whole way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.train.spelling import WORDS, trained

import dapeng
from dapeng.core.errors import RunError

NARROW = {"embed_dim": 32, "hidden": 96, "dropout": 0.0}


@pytest.mark.parametrize(
    ("decoder", "least"),
    [({"type": "gru"}, 0.8), ({"type": "lstm", "attention": "multiplicative"}, 0.8), ({"type": "lstm"}, 0.6)],
    ids=["gru-additive", "lstm-multiplicative", "lstm-none"],
)
def test_recurrent_networks_spell_digits_out_and_load_as_they_were(decoder: Any, least: float, tmp_path: Path) -> None:
    reads = {"type": "gru", "embed_dim": 32, "hidden": 48, "bidirectional": True, "dropout": 0.0}
    output = {"tokeniser": "characters", "decoder": {**decoder, **NARROW, "beams": 3}}
    digits = {"type": "text", "tokeniser": "characters", "encoder": reads}
    run = trained(tmp_path, output, {"digits": digits}, epochs=25, learning_rate=5e-3)
    found = run.metrics["outputs"]["words"]["metrics"]
    assert found["exact_match"]["value"] > least
    rows = [{"digits": d} for d in ("1", "22", "333", "4", "909")]
    together = run.predict(rows)
    assert dapeng.load(run.path).predict(rows).equals(together)
    assert [run.predict([r])["words"][0].as_py() for r in rows] == together["words"].to_pylist()


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_recurrent_language_models_learn_from_short_texts_in_packed_windows(kind: str, tmp_path: Path) -> None:
    run = trained(tmp_path, {"tokeniser": "bytes", "decoder": {"type": kind, **NARROW}}, {}, epochs=25, batch_size=8)
    figures = run.metrics["outputs"]["words"]["metrics"]
    assert figures["bits_per_byte"]["value"] < 2.6  # letters of these words alone, without their order, need 3.3
    said = run.write("seven ", max_tokens=30, temperature=0)
    assert set(said.split()) & set(WORDS)
    assert dapeng.load(run.path).write("seven ", max_tokens=30, temperature=0) == said
    with pytest.raises(RunError, match="recurrent network"):
        run.export("transformers", tmp_path / "out")
