"""Texts of which training saw nothing: read as unknown, counted and named, whatever they lead to."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from dapeng import api
from dapeng.columns.text import Text, TextColumn

SEEN = ["red square, blue bar", "blue bar", "a red bar", "红色 方块"]


def text_of(cells: list[str], tokeniser: str) -> TextColumn:
    options = Text(tokeniser=tokeniser)  # type: ignore[arg-type]
    summary = options.summary(False)
    summary.add(pa.array(cells))
    return options.fitted("t", summary.result(), False)


@pytest.mark.parametrize("tokeniser", ["words", "characters", "ngrams"])
def test_a_text_is_unseen_if_no_letter_of_it_is_known(tokeniser: str) -> None:
    column = text_of(SEEN, tokeniser)
    cells = ["жёлтый круг", "red круг", "Bare", "жёлтый, круг", ",", "…", "", None, "方", "龍", "_red_", "10"]
    assert column.unseen(pa.array(cells)) == {"жёлтый круг": 1, "жёлтый, круг": 1, "龍": 1, "10": 1}


def test_rare_words_that_training_saw_are_no_news() -> None:
    names = [
        f"{a}{b}{c}a" for a in "bdfgk" for b in "aeiou" for c in "lmnprstvwz"
    ]  # each once, so none is in the vocabulary
    column = text_of([*names, *["the name"] * 2], "words")
    assert column.unseen(pa.array(["zorro", "the"])) == {"zorro": 1}
    assert text_of(names, "words").unseen(pa.array(names)) == {}


def test_a_tokeniser_of_bytes_knows_every_text() -> None:
    assert text_of(SEEN, "bpe").unseen(pa.array(["жёлтый круг"])) == {}


def test_predictions_say_so(tmp_path: Path) -> None:
    table = pa.table({"said": SEEN[:2] * 40, "what": ["two", "one"] * 40})
    overrides = ["train.steps=3", "train.threads=1", "evaluate.resamples=0", "model=network"]
    words = {"said": {"type": "text", "tokeniser": "words"}}
    run = api.train(table, {"what": "category"}, inputs=words, overrides=overrides, runs=tmp_path)
    answer = run.product.predict(_frame(["жёлтый круг", "red", "жёлтый круг"]))
    assert [n.what for n in answer.notes] == [
        "2 cells hold 1 texts of which no letter is known from training, read as unknown: 'жёлтый круг'"
    ]
    assert run.product.predict(_frame(["a bar"])).notes == []


def _frame(said: list[str]) -> object:
    from dapeng.data.table import Frame

    return Frame(pa.table({"said": said}))
