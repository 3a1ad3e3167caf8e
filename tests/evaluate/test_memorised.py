"""What a language model has by heart is found, and what every text shares with others is told beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dapeng import api
from dapeng.evaluate.memorised import longest_runs
from dapeng.tokens.characters import Bytes
from dapeng.tokens.learnt import BytePairs
from dapeng.tokens.scripts import by_script


def plain(known: list[int], text: list[int]) -> int:
    """The longest run by trying each."""
    longest = 0
    for start in range(len(text)):
        for at in range(len(known)):
            size = 0
            while start + size < len(text) and at + size < len(known) and text[start + size] == known[at + size]:
                size += 1
            longest = max(longest, size)
    return longest


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=20), min_size=1, max_size=4),
)
def test_the_longest_run_is_that_of_the_plain_search(known: list[int], texts: list[list[int]]) -> None:
    sizes, at = longest_runs(np.array(known), [np.array(t) for t in texts])
    for text, size, start in zip(texts, sizes.tolist(), at.tolist()):
        assert size == plain(known, text)
        run = text[start : start + size]
        assert any(known[i : i + size] == run for i in range(len(known) - size + 1))


def test_a_copy_is_found_across_pieces_of_a_long_text() -> None:
    draw = np.random.default_rng(0)
    known = draw.integers(0, 50_000, (1 << 20) + 5_000)
    copied = known[(1 << 20) - 100 : (1 << 20) + 156]
    fresh = draw.integers(0, 50_000, 256)
    sizes, _ = longest_runs(known, [copied, fresh])
    assert sizes[0] == 256
    assert sizes[1] < 4


def test_scripts_are_told_apart_with_what_they_take() -> None:
    found = by_script(Bytes.trained([], 0), ["the cat 12", "好的", "да", "🙂"])
    assert list(found) == ["Latin", "digits", "Han", "Cyrillic", "others"]
    assert [round(s["fertility"], 6) for s in found.values()] == [1, 1, 3, 2, 4]
    assert sum(s["share"] for s in found.values()) == pytest.approx(1)
    learnt = by_script(BytePairs.trained(["the cat sat on the mat"] * 50, 300), ["the cat sat", "好的好的"])
    assert learnt["Latin"]["fertility"] < 1 < learnt["Han"]["fertility"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trained for long on a single text, said over and over, and tested on others."""
    folder: Path = tmp_path_factory.mktemp("heart")
    verse = "to be or not to be that is the question whether tis nobler in the mind to suffer the slings and arrows"
    draw = np.random.default_rng(0)
    others = [" ".join("".join(draw.choice(list("abcdefgh"), 4)) for _ in range(20)) for _ in range(12)]
    rows = [(verse, "train")] * 40 + [(verse, "validation")] * 4 + [(o, "test") for o in others]
    (folder / "verses.csv").write_text("line,part\n" + "".join(f"{t},{p}\n" for t, p in rows))
    small = {"type": "llama", "embed_dim": 64, "num_layers": 2, "num_heads": 4, "dropout": 0.0}
    return api.train(
        {
            "data": {"path": str(folder / "verses.csv"), "split": {"by": "column", "column": "part"}},
            "outputs": {"line": {"type": "text", "tokeniser": "bytes", "max_length": 128, "decoder": small}},
            "train": {"batch_size": 8, "learning_rate": 5e-3, "threads": 1, "epochs": 40, "patience": None},
            "evaluate": {"baselines": [], "resamples": 0},
        },
        runs=folder / "runs",
    )


def test_a_network_that_knows_its_only_text_by_heart_is_found_out(run: Any) -> None:
    found = run.metrics["outputs"]["line"]["memorised"]
    assert max(found["longest_of_real"]) < 12
    assert max(found["longest"]) > 3 * max(found["longest_of_real"])
    assert "question" in found["run"] or "slings" in found["run"] or "nobler" in found["run"]


def test_the_report_says_it_and_shows_how_scripts_are_cut(run: Any) -> None:
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "stands in the" in report
    assert "Longest run by heart" in report
    assert "Tokens a character" in report
