"""Baselines that answer with a text, beside a network that writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dapeng import api
from dapeng.columns.text import Text
from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs, Target
from dapeng.learners.phrases import likeliest
from dapeng.learners.sentences import sentences, words
from dapeng.learners.textrank import ranks

NUMBERS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}


def column(texts: Sequence[str], target: bool) -> Any:
    options = Text(tokeniser="bytes") if target else Text()
    summary = options.summary(target)
    summary.add(pa.array(texts))
    return options.fitted("y" if target else "x", summary.result(), target)


def answered(name: str, rows: dict[str, list[str]], answers: list[str], asked: dict[str, list[str]]) -> list[str]:
    """What a baseline of this name says after it has seen rows with their answers."""
    columns = {n: column(t, False) for n, t in rows.items()}
    told = column([*answers, "." * 64], True)  # the longest decides how much may be said
    seen, new = (Inputs(columns, {}, {n: pa.chunked_array([t]) for n, t in some.items()}) for some in (rows, asked))
    options = learners.members()[name]()
    target = Target(told, np.array(answers, object))
    assert options.reads(seen, target)
    return told.decode(options.fit(seen, target, None, 1.0, 0).learner.predict(new))


def test_sentences_end_where_people_end_them() -> None:
    assert sentences("It works. Does it? Yes!\nA new line") == ["It works.", "Does it?", "Yes!", "A new line"]
    assert sentences("好。真的吗？是") == ["好。", "真的吗？", "是"]
    assert sentences("version 2.13.0 of it") == ["version 2.13.0 of it"]
    assert sentences("  ") == [""]
    assert words("Ａ cat 好的") == ["a", "cat", "好", "的"]


def test_the_nearest_text_gives_the_answer_of_the_row_that_is_most_alike() -> None:
    rows = {"x": ["the cat sat on the mat", "rain falls in spring", "the dog ate bread"]}
    asked = {"x": ["a dog that eats bread", "spring rain", "cat on a mat"]}
    assert answered("nearest_text", rows, ["A", "B", "C"], asked) == ["C", "B", "A"]


def test_a_phrase_lookup_learns_words_from_whole_sentences() -> None:
    draw = np.random.default_rng(0)
    some = [list(draw.choice(list(NUMBERS), int(draw.integers(7, 12)))) for _ in range(60)]
    pairs = [(s, [NUMBERS[w] for w in s]) for s in some]
    assert likeliest(pairs) == NUMBERS
    rows, answers = {"x": [" ".join(s) for s in some]}, [" ".join(a) for _, a in pairs]
    assert answered("phrases", rows, answers, {"x": ["two five one", "five seven"]}) == ["zwei fünf eins", "fünf"]


def test_a_phrase_that_is_known_as_a_whole_is_put_in_as_a_whole() -> None:
    rows = {"x": ["save file", "open", "the menu opens a window of the file list here"]}
    answers = ["保存文件", "打开", "菜单打开文件列表窗口"]
    assert answered("phrases", rows, answers, {"x": ["open save file"]}) == ["打开保存文件"]


def test_textrank_takes_the_sentence_that_others_are_most_like() -> None:
    said = [{"a", "b", "c"}, {"b", "c", "d"}, {"x", "y"}, {"b", "c", "e", "x"}]
    found = ranks(said)
    assert found.sum() == pytest.approx(1.0)
    assert int(np.argmin(found)) == 2
    text = "Cats eat fish. Dogs and cats eat fish and meat. Stones lie about. Dogs eat meat."
    assert answered("textrank", {"x": [text] * 3}, ["a"] * 3, {"x": [text]}) == ["Dogs and cats eat fish and meat."]


def test_the_best_sentence_has_the_words_of_the_question() -> None:
    passage = "北京是中国的首都。上海在东边。长江流过武汉。"
    rows = {"passage": [passage] * 4, "question": ["首都是哪里？", "长江流过哪里？", "上海在哪？", "首都？"]}
    asked = {"passage": [passage, passage], "question": ["长江流过什么城市？", "中国的首都是？"]}
    assert answered("best_sentence", rows, ["北京"] * 4, asked) == ["长江流过武汉。", "北京是中国的首都。"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("written")
    draw = np.random.default_rng(1)
    some = [list(draw.choice(list(NUMBERS), int(draw.integers(1, 5)))) for _ in range(300)]
    lines = [f"{' '.join(s)},{' '.join(NUMBERS[w] for w in s)}" for s in some]
    (folder / "numbers.csv").write_text("en,de\n" + "\n".join(lines) + "\n", encoding="utf-8")
    small = {"embed_dim": 16, "num_layers": 1, "num_heads": 2}
    return api.train(
        {
            "data": {"path": str(folder / "numbers.csv"), "split": {"by": "random"}},
            "inputs": {"en": {"type": "text", "encoder": {"type": "transformer", **small}}},
            "outputs": {"de": {"type": "text", "tokeniser": "characters", "decoder": {"type": "llama", **small}}},
            "model": "network",
            "train": {"steps": 2, "threads": 1},
            "evaluate": {"resamples": 50},
        },
        runs=folder / "runs",
    )


def test_the_leaderboard_says_that_a_lookup_beats_a_network_that_learnt_nothing(run: Any) -> None:
    found = run.metrics["outputs"]["de"]
    rows = {r["name"]: r for r in found["leaderboard"]}
    assert found["headline"] == "chrf"
    assert rows["phrases"]["metrics"]["exact_match"]["value"] > 0.9
    assert {"nearest_text", "first_sentence", "product"} <= set(rows)
    assert "a phrase lookup" in found["words"]
    assert found["words"].count("The baseline wins") == 1


def test_what_says_nothing_of_how_likely_a_text_is_has_no_bits(run: Any) -> None:
    rows = {r["name"]: r["metrics"] for r in run.metrics["outputs"]["de"]["leaderboard"]}
    assert rows["product"]["bits_per_byte"]["value"] > 1
    assert "bits_per_byte" not in rows["phrases"]
    assert "perplexity" not in rows["nearest_text"]
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "nearest_text" in report or "nearest training row" in report


def test_the_nearest_picture_gives_the_answer_of_the_row_that_looks_most_alike() -> None:
    from tests.trained import png

    colours = {"red": (200, 20, 20), "blue": (20, 20, 200), "grey": (120, 120, 120)}
    cells = pa.array([png(np.full((8, 8, 3), c)) for c in colours.values()], pa.binary())
    from dapeng.columns.image import Image

    summary = Image().summary(False)
    summary.add(cells)
    inputs = {"photo": Image().fitted("photo", summary.result(), False)}
    told = column([*colours, "." * 64], True)
    seen = Inputs(inputs, {}, {"photo": pa.chunked_array([cells])})
    new = pa.array([png(np.full((8, 8, 3), c)) for c in ((10, 30, 180), (130, 125, 118), (230, 40, 30))], pa.binary())
    options = learners.members()["nearest_picture"]()
    target = Target(told, np.array(list(colours), object))
    assert options.reads(seen, target)
    learner = options.fit(seen, target, None, 1.0, 0).learner
    assert told.decode(learner.predict(Inputs(inputs, {}, {"photo": pa.chunked_array([new])}))) == [
        "blue",
        "grey",
        "red",
    ]


def test_the_usual_text_is_the_most_frequent_one() -> None:
    rows = {"x": ["a", "b", "c", "d"]}
    assert answered("usual_text", rows, ["A", "B", "B", "C"], {"x": ["e", "f"]}) == ["B", "B"]
