"""Conversations: how they are read, what of them is learnt, and a model that answers turn by turn."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from dapeng import api
from dapeng.cli.main import main
from dapeng.columns.chat import Talk, conversation
from dapeng.columns.template import CHATML, END, OWN, TURN, Template
from dapeng.columns.text import Text
from dapeng.core.errors import DapengError, RunError
from dapeng.tokens.kinds import CODECS

WORDS = dict(zip("0123456789", ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]))


def talk(digits: str) -> list[dict[str, str]]:
    """Each digit is asked for and spelt; the last question is for the first digit again."""
    turns = []
    for digit in digits:
        turns += [{"role": "user", "content": f"spell {digit}"}, {"role": "assistant", "content": WORDS[digit]}]
    again = [{"role": "user", "content": "the first"}, {"role": "assistant", "content": WORDS[digits[0]]}]
    return [{"role": "system", "content": "be brief"}, *turns, *again]


def talks(rows: int, seed: int = 0) -> list[list[dict[str, str]]]:
    draw = np.random.default_rng(seed)
    digits = ["".join(draw.choice(list(WORDS), 2)) for _ in range(rows)]
    return [talk(d)[row % 2 :] for row, d in enumerate(digits)]  # every other one has no system


def column_of(cells: list[Any], **options: Any) -> Any:
    text = Text.model_validate({"chat": True, "tokeniser": "characters", **options})
    summary = text.summary(True)
    summary.add(pa.array(cells))
    return text.fitted("talk", summary.result(), True)


@pytest.mark.parametrize("kind", ["bytes", "characters", "bpe", "wordpiece"])
def test_of_a_conversation_the_answers_and_their_ends_are_learnt_and_marks_in_texts_are_text(kind: str) -> None:
    turns = conversation([{"role": "user", "content": f"say {TURN} hi"}, {"from": "gpt", "value": "hi <eos>"}])
    assert turns is not None
    assert turns[1].role == "assistant"
    codec = CODECS[kind].trained([f"say {TURN} hi <eos> user assistant\n"] * 9, 300, [TURN, END])
    talk = Talk(Template(CHATML, OWN), codec)
    assert talk.end == codec.marks[END]
    ids, taught = talk.ids(turns)
    assert (ids == codec.marks[TURN]).sum() == 2
    assert (ids == codec.marks[END]).sum() == 2
    assert codec.decode(ids[taught].tolist()).replace(" ", "") == "hi<eos>"
    assert ids[taught][-1] == talk.end
    asked = talk.asked(turns[:1])
    assert asked == ids[: len(asked)].tolist()
    assert not taught[: len(asked)].any()
    assert taught[len(asked) : np.flatnonzero(ids == talk.end)[-1] + 1].all()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("hello", "no list of turns as JSON"),
        ("7", "no list of turns"),
        ('[["user", "hi"]]', "turn 1: expected role and content"),
        ('[{"role": "user"}]', "turn 1: there is no content"),
        ('[{"role": "user", "content": "a"}, {"content": "b"}]', "turn 2: there is no role"),
    ],
)
def test_what_is_no_conversation_says_why(cell: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        conversation(cell)
    column = column_of([json.dumps(talk("12"))])
    assert column.encode(pa.array([cell, json.dumps(talk("34"))])).bad.rows == [0]


@pytest.mark.parametrize("cells", [[json.dumps(talk("12"))], [talk("12")]])
def test_conversations_read_as_plain_text_are_pointed_at(cells: list[Any]) -> None:
    assert any("chat: true" in r for r in column_of(cells, chat=False).remarks())
    assert not column_of(cells).remarks()
    assert not column_of(["[draft] a text"], chat=False).remarks()


def test_json_arrow_and_wrapped_conversations_are_the_same_and_empty_ones_are_missing() -> None:
    rows = talks(4)
    column = column_of([json.dumps(r) for r in rows])
    wanted = column.encode(pa.array([json.dumps(r) for r in rows]))
    for cells in (pa.array(rows), pa.array([json.dumps({"messages": r}) for r in rows])):
        found = column.encode(cells)
        np.testing.assert_array_equal(found.tensors["ids"], wanted.tensors["ids"])
        np.testing.assert_array_equal(found.tensors["taught"], wanted.tensors["taught"])
    empty = column.encode(pa.array(["", "[]", json.dumps(rows[0])]))
    assert empty.present is not None
    assert empty.present.tolist() == [False, False, True]
    unanswered = column.encode(pa.array([json.dumps([{"role": "user", "content": "hi"}])]))
    assert unanswered.bad.reasons == ["no turn is of the assistant: there is no answer to learn"]
    every = column_of([json.dumps(r) for r in rows], train_on="all").encode(pa.array(rows))
    assert every.tensors["taught"].all()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("chat")
    (folder / "talks.jsonl").write_text("".join(json.dumps({"talk": t}) + "\n" for t in talks(500)))
    small = {"type": "llama", "embed_dim": 64, "num_layers": 2, "num_heads": 4, "dropout": 0.0}
    return api.train(
        {
            "data": {"path": str(folder / "talks.jsonl"), "split": {"by": "random"}},
            "outputs": {
                "talk": {"type": "text", "chat": True, "tokeniser": "characters", "max_length": 160, "decoder": small}
            },
            "train": {"batch_size": 8, "learning_rate": 5e-3, "threads": 1, "epochs": 12},
            "evaluate": {"baselines": [], "resamples": 0},
        },
        runs=folder / "runs",
    )


def test_questions_are_answered_and_earlier_turns_are_remembered(run: Any) -> None:
    greedy = {"temperature": 0, "max_tokens": 16}
    system = {"role": "system", "content": "be brief"}
    asked = [talk(d)[: n + 1] for d in ("37", "80", "51", "24", "69") for n in (2, 4, 6)]
    right = [run.write(turns[:-1], **greedy) == turns[-1]["content"] for turns in asked]
    assert sum(right) >= 13, right
    batch = [[system, *talk(d)[1:2]] for d in "12"]
    assert run.write(batch, **greedy) == [run.write(turns, **greedy) for turns in batch]


def test_only_what_is_learnt_is_counted_and_judged(run: Any) -> None:
    decoder, column = run.product.model.decoders["talk"], run.product.outputs["talk"]
    from dapeng.data.batch import Cells

    found = column.encode(pa.array([talk("37")]))
    cells = {n: torch.from_numpy(a)[None] for n, a in found.tensors.items()}
    target = Cells({**cells, "mask": torch.ones_like(cells["taught"])})
    assert int(decoder.count(target)) == len("threeseventhree") + 3
    alone = decoder.score(None, Cells({**cells, "mask": torch.zeros_like(cells["taught"])}))
    assert float(alone) == 0
    assert column.truth({"ids": [cells["ids"][0].numpy()], "taught": [cells["taught"][0].numpy()]}).tolist() == [
        "threeseventhree"
    ]


def test_lines_are_turns_of_one_conversation_until_it_begins_anew(run: Any, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("spell 3\nspell 7\nthe first\n/new\nspell 4\nspell 2\nthe first\n"))
    assert main(["chat", str(run.path), "--temperature", "0", "--max-tokens", "12"]) == 0
    said = capsys.readouterr().out.splitlines()
    wanted = []
    for questions in (["spell 3", "spell 7", "the first"], ["spell 4", "spell 2", "the first"]):
        turns: list[dict[str, str]] = []
        for question in questions:
            turns.append({"role": "user", "content": question})
            wanted.append(run.write(turns, temperature=0, max_tokens=12))
            turns.append({"role": "assistant", "content": wanted[-1]})
    assert said == wanted
    assert said[:2] == ["three", "seven"]


def test_a_conversation_has_no_inputs_and_needs_turns(run: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="turn 1: there is no role"):
        run.write([{"content": "x"}])
    rows = [{"talk": t, "topic": "a"} for t in talks(40)]
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    spec = {
        "data": str(tmp_path / "talks.jsonl"),
        "inputs": {"topic": "text"},
        "outputs": {"talk": {"type": "text", "chat": True}},
    }
    with pytest.raises(DapengError, match="it has no inputs beside it"):
        api.train(spec, runs=tmp_path / "runs")
