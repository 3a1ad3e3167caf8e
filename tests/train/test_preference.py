"""Preferences from a table: a model that writes learns which of two texts is wanted, and stays near to what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dapeng
from dapeng.core.errors import SpecError
from dapeng.data.batch import Cells
from dapeng.objectives.preference import behind

SMALL = {"type": "llama", "embed_dim": 32, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
QUIET: dict[str, Any] = {
    "evaluate": {"baselines": [], "resamples": 0},
    "model": "network",
    "data": {"split": {"by": "random"}},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def said(rows: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    words = ["sun", "moon", "rain", "snow", "wind"]
    return [" ".join(words[i] for i in draw.integers(0, 5, 3)) for _ in range(rows)]


def writer(runs: Path) -> Any:
    """A run that has read texts in small and in large letters, as often one as the other."""
    texts = said(150, 0)
    both = [t.upper() if i % 2 else t for i, t in enumerate(texts)]
    return dapeng.train(
        {"t": both},
        outputs={"t": {"type": "text", "tokeniser": "characters", "max_length": 32, "decoder": SMALL}},
        train={"epochs": 8, "threads": 1, "learning_rate": 1e-2, "batch_size": 16},
        runs=str(runs),
        **QUIET,
    )


def told(run: Any) -> list[dict[str, Any]]:
    lines = [json.loads(x) for x in (run.path / "metrics.jsonl").read_text().splitlines()]
    return [x for x in lines if "loss" in x]


def test_a_model_writes_what_was_preferred(tmp_path: Path) -> None:
    first = writer(tmp_path / "runs")
    asked, texts = said(120, 1), said(120, 2)
    run = dapeng.train(
        {"asked": [a + ". " for a in asked], "good": [t.upper() for t in texts], "bad": texts},
        outputs={"good": {"type": "text", "decoder": {"type": "llama", "weights": str(first.path), "weights_rate": 1.0}}},
        columns={"bad": "rejected", "asked": "prompt"},
        train={
            "phases": [{"objective": {"type": "preference", "beta": 0.1}, "epochs": 4}],
            "threads": 1, "learning_rate": 3e-3, "batch_size": 16,
        },
        runs=str(tmp_path / "runs"),
        **QUIET,
    )  # fmt: skip
    figures = told(run)[-1]
    assert figures["good.reward_accuracy"] > 0.9
    assert figures["good.preferred"] > 0.9
    assert figures["loss"] < 0.5
    capitals = []
    for one in (first, run):
        texts = [one.write(a + ". ", max_tokens=12, temperature=1.0, seed=i) for i, a in enumerate(asked[:20])]
        letters = [c for t in texts for c in t if c.isalpha()]
        capitals.append(sum(c.isupper() for c in letters) / max(len(letters), 1))
    assert capitals[0] < 0.75
    assert capitals[1] > 0.9
    assert dapeng.load(run.path).product.outputs["good"].size == first.product.outputs["t"].size, (
        "its tokens are the first run's"
    )


def test_a_prompt_stands_before_both_texts_and_is_not_learnt() -> None:
    def cells(*rows: list[int]) -> Cells:
        width = max(map(len, rows))
        ids = torch.tensor([r + [0] * (width - len(r)) for r in rows])
        return Cells({"ids": ids, "mask": torch.tensor([[True] * len(r) + [False] * (width - len(r)) for r in rows])})

    found = behind(cells([1, 7, 8, 2], [1, 9, 2]), cells([1, 5, 2], [1, 4, 5, 6, 2]))
    real = [row[m].tolist() for row, m in zip(found["ids"], found["mask"])]
    assert real == [[1, 7, 8, 5, 2], [1, 9, 4, 5, 6, 2]]
    taught = [row[t].tolist() for row, t in zip(found["ids"], found["taught"])]
    assert taught == [[5, 2], [4, 5, 6, 2]]


def test_what_a_preference_lacks_is_said() -> None:
    table = {"good": said(40, 0), "bad": said(40, 1)}
    phases = {"phases": [{"objective": "preference"}], "threads": 1}
    with pytest.raises(SpecError, match="not preferred"):
        dapeng.train(table, outputs={"good": {"type": "text", "decoder": SMALL}}, train=phases, **QUIET)
    labels = {**table, "y": ["a", "b"] * 20}
    with pytest.raises(SpecError, match="writes one text"):
        dapeng.train(
            labels,
            inputs={"good": "text"},
            outputs={"y": "category"},
            columns={"bad": "rejected"},
            train=phases,
            **QUIET,
        )


def test_conversations_are_preferred_as_texts_are(tmp_path: Path) -> None:
    """Both hold what was asked; the answers alone count."""

    def talk(answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "well?"}, {"role": "assistant", "content": answer}]

    texts = said(60, 3)
    run = dapeng.train(
        {"good": [json.dumps(talk(t.upper())) for t in texts], "bad": [json.dumps(talk(t)) for t in texts]},
        outputs={"good": {"type": "text", "chat": True, "tokeniser": "characters", "max_length": 64, "decoder": SMALL}},
        columns={"bad": "rejected"},
        train={
            "phases": [{"objective": "preference", "epochs": 3}],
            "threads": 1,
            "learning_rate": 1e-2,
            "batch_size": 16,
        },
        runs=str(tmp_path / "runs"),
        **QUIET,
    )
    assert told(run)[-1]["good.reward_accuracy"] > 0.9
