"""Rows that are nearly the same: what is found against an exact comparison of all pairs, in time in line with the rows; and dropped."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from dapeng import api
from dapeng.core.errors import DapengError, SpecError
from dapeng.core.kinds import samples
from dapeng.data.near import near_earlier
from dapeng.data.shingles import PERMUTATIONS, Shingled, bands_for, shingles, units


def shingled(texts: list[str], threshold: float) -> Shingled:
    made = Shingled(len(texts), threshold)
    made.add(texts)
    made.close()
    return made


def anything(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.ones(len(first), bool)


def exactly(made: Shingled, threshold: float) -> set[int]:
    """Rows that are dropped where every pair is compared."""
    _, codes = np.unique(made.flat, return_inverse=True)
    table = scipy.sparse.csr_matrix((np.ones(len(codes), np.float32), codes, made.starts))
    both = scipy.sparse.triu(table @ table.T, 1).tocoo()
    alike = both.data / (made.counts[both.row] + made.counts[both.col] - both.data) >= threshold
    dropped: set[int] = set()
    for b, a in sorted(zip(both.col[alike].tolist(), both.row[alike].tolist())):
        if a not in dropped:
            dropped.add(b)
    return dropped


def words(count: int, seed: int) -> list[str]:
    return [f"w{n}" for n in np.random.default_rng(seed).integers(0, 10_000, count)]


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_on_real_texts_what_is_dropped_is_what_comparing_every_pair_drops(threshold: float) -> None:
    try:
        table = next(iter(samples.members()["synopsis_en"]().load().values())).read()
    except DapengError as error:
        pytest.skip(f"sample:synopsis_en is not here: {error}")
    texts = table.column("description").to_pylist()[:5000]
    made = shingled(texts, threshold)
    found = set(np.flatnonzero(near_earlier(made, np.arange(len(texts)), 0, anything) >= 0).tolist())
    wanted = exactly(made, threshold)
    assert len(wanted) > 500
    assert len(found & wanted) > 0.98 * len(wanted)
    assert len(found & wanted) > 0.98 * len(found)


def test_texts_of_many_rows_take_time_in_line_with_them() -> None:
    def seconds(rows: int) -> float:
        texts = [" ".join(words(40, seed)) for seed in range(rows // 2)] * 2
        began = time.process_time()
        found = near_earlier(shingled(texts, 0.8), np.arange(rows), 0, anything)
        assert (found >= 0).sum() == rows // 2
        return time.process_time() - began

    seconds(500)
    assert seconds(16_000) < 10 * 4 * max(seconds(4_000), 0.1)  # 16 times as many pairs


def test_bands_find_pairs_at_the_threshold_with_99_percent() -> None:
    for threshold in (0.3, 0.5, 0.8, 0.95):
        bands, size = bands_for(threshold)
        assert bands * size <= PERMUTATIONS
        assert 1 - (1 - threshold**size) ** bands >= 0.99
        wider = size + 1
        assert 1 - (1 - threshold**wider) ** (PERMUTATIONS // wider) < 0.99


def test_shingles_are_five_words_or_five_characters_where_there_are_no_blanks() -> None:
    assert len(units("One, two THREE")) == 3
    assert (units("one two three") == units("ONE two; three")).all()
    assert len(units("我们去公园吧，好吗")) == 8
    flat, counts = shingles([units(t) for t in ("a b c d e f", "a b", "", "a b c d e f a b c d e")])
    assert counts.tolist() == [2, 1, 0, 6]  # one of them twice
    assert set(flat[:2]) <= set(flat[3:])
    made = shingled(["x y", "x y", "", "", "y x"], 0.8)
    assert near_earlier(made, np.arange(5), 0, anything).tolist() == [-1, 0, -1, -1, -1]


def test_chinese_texts_that_differ_in_a_letter_are_found() -> None:
    text = "今天天气很好，我们决定去公园散步，看看那里的花开了没有，然后再去吃一顿饭。"
    made = shingled([text, text.replace("散步", "跑步"), text[::-1], text + "！"], 0.6)
    assert near_earlier(made, np.arange(4), 0, anything).tolist() == [-1, 0, -1, 0]


def test_the_first_stays_and_what_is_only_like_a_dropped_one_stays_too() -> None:
    base = words(60, 0)
    chain = [" ".join(base), " ".join([*base[6:], *words(6, 1)]), " ".join([*base[12:], *words(6, 1), *words(6, 2)])]
    made = shingled(chain, 0.7)
    assert [made.jaccard(0, 1) >= 0.7, made.jaccard(1, 2) >= 0.7, made.jaccard(0, 2) >= 0.7] == [True, True, False]
    assert near_earlier(made, np.arange(3), 0, anything).tolist() == [-1, 0, -1]
    held_last = near_earlier(made, np.array([2, 0, 1]), 1, anything)
    assert held_last.tolist() == [-1, -1, 0]


def texts(path: Path) -> Path:
    """60 texts that train, with 10 that repeat one, 10 nearly, 8 that are nearly one that tests; every label once more."""
    first = [" ".join(words(50, s)) for s in range(80)]
    near = [t.replace(t.split()[25], "changed") for t in first]
    rows = [(t, "train") for t in first[:60]] + [(t, "train") for t in first[:10]] + [(t, "train") for t in near[10:20]]
    rows += (
        [(t, "train") for t in near[72:80]]
        + [(t, "test") for t in first[70:80]]
        + [(t, "validation") for t in first[60:70]]
    )
    with path.open("w") as file:
        for number, (text, part) in enumerate(rows):
            file.write(
                json.dumps({"text": text, "label": "ab"[(number + (70 <= number < 80)) % 2], "part": part}) + "\n"
            )
    return path


def spec(path: Path, duplicates: Any, **more: Any) -> dict[str, Any]:
    small = {"type": "llama", "embed_dim": 16, "num_layers": 1, "num_heads": 2}
    return {
        "data": {
            "path": str(texts(path / "t.jsonl")),
            "split": {"by": "column", "column": "part"},
            "duplicates": duplicates,
        },
        "outputs": {"text": {"type": "text", "tokeniser": "bytes", "decoder": small}},
        "train": {"epochs": 1, "threads": 1},
        "evaluate": {"baselines": [], "resamples": 0},
        **more,
    }


@pytest.mark.parametrize("asked", ["near", {"near": 0.7}])
def test_a_language_model_does_not_learn_near_repeats_nor_what_it_is_tested_on(
    asked: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = api.train(spec(tmp_path, asked), runs=tmp_path / "runs")
    found = json.loads((run.path / "dropped.json").read_text())["all"]
    assert found["duplicates"] == list(range(60, 70))
    assert found["near"] == list(range(70, 80))
    assert found["near_held"] == list(range(80, 88))
    said = capsys.readouterr().err
    assert "10 rows that train are nearly the same as another" in said
    assert "8 rows that train are nearly the same as one that validates or tests" in said
    assert "8 rows that train are nearly the same" in (run.path / "report.html").read_text(encoding="utf-8")
    assert run.metrics["outputs"]["text"]["rows"] == 10


def test_a_classifier_keeps_near_texts_with_another_answer_but_none_that_tests(tmp_path: Path) -> None:
    more = {"inputs": {"text": "text"}, "outputs": {"label": "category"}, "model": "linear"}
    run = api.train(spec(tmp_path, {"near": 0.7}, **more), runs=tmp_path / "runs")
    found = json.loads((run.path / "dropped.json").read_text())["all"]
    assert found["near_held"] == list(range(80, 88))
    assert found["near"] == [], "their labels are others, or they are dropped as equal"
    assert found["duplicates"] == list(range(60, 70))


def test_what_is_no_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"data\.duplicates"):
        api.train(spec(tmp_path, {"near": 1.5}), runs=tmp_path / "runs")
    with pytest.raises(SpecError, match=r"data\.duplicates"):
        api.train(spec(tmp_path, "nearly"), runs=tmp_path / "runs")
