"""Questions that a language model answers by choice, or in its own words, with and without examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dapeng import api
from dapeng.core.errors import DataError, RunError
from dapeng.evaluate.questions import Question, ask, likelihoods, read_questions
from dapeng.nn.causal import plain_view

SAYS = {"cat": "meow", "dog": "woof", "cow": "moo", "hen": "cluck", "pig": "oink", "duck": "quack"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """It knows what animals say."""
    folder: Path = tmp_path_factory.mktemp("questions")
    lines = [f"the {a} says {s}." for a, s in SAYS.items()] * 30
    (folder / "lines.csv").write_text("line\n" + "\n".join(lines) + "\n")
    small = {"type": "llama", "embed_dim": 48, "num_layers": 2, "num_heads": 4, "dropout": 0.0}
    return api.train(
        {
            "data": {"path": str(folder / "lines.csv"), "split": {"by": "random"}},
            "outputs": {"line": {"type": "text", "tokeniser": "bytes", "decoder": small}},
            "train": {"batch_size": 8, "learning_rate": 5e-3, "threads": 1, "epochs": 24, "patience": None},
            "evaluate": {"baselines": [], "resamples": 0},
        },
        runs=folder / "runs",
    )


def choice(animal: str, *said: str) -> dict[str, Any]:
    return {"prompt": f"the {animal} says", "choices": list(said), "answer": said.index(SAYS[animal])}


def file_of(folder: Path, rows: list[Any]) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return path


def test_what_it_has_learnt_is_chosen_and_written(run: Any, tmp_path: Path) -> None:
    choices = [choice(a, *sorted({SAYS[a], SAYS[b]})) for a in SAYS for b in SAYS if a != b]
    free = [{"prompt": f"the {a} says", "answer": s, "stop": ".", "task": "own words"} for a, s in SAYS.items()]
    found = run.ask(file_of(tmp_path, [*choices, *free])).plain()["tasks"]
    assert found["questions"]["rows"] == 30
    assert found["questions"]["chance"] == 0.5
    assert found["questions"]["metrics"]["accuracy"]["value"] > 0.9
    assert found["own words"]["metrics"]["exact_match"]["value"] >= 5 / 6
    assert set(found["own words"]["metrics"]) == {"exact_match"}
    low, high = (found["questions"]["metrics"]["accuracy"][k] for k in ("low", "high"))
    assert 0.5 < low <= high <= 1


def test_likelihoods_are_those_of_one_text_alone(run: Any) -> None:
    product = run.product
    column, decoder = product.outputs["line"], product.model.decoders["line"]
    texts = [("the cat says", " meow"), ("the hen", " says cluck."), ("a", "b"), ("the cow says moo. " * 40, "the")]
    found = likelihoods(column, decoder, texts)
    for (before, follows), value in zip(texts, found):
        ids = torch.tensor([column.asked(before + follows)[-decoder.window - 1 :]])
        with torch.inference_mode():
            hidden = decoder.writer.hidden(ids[:, :-1], plain_view(1, ids.shape[1] - 1))
            nats = F.cross_entropy(decoder.writer.logits(hidden)[0], ids[0, 1:], reduction="none")
        assert value == pytest.approx(-float(nats[-len(follows.encode()) :].sum()), rel=1e-4)


def test_examples_stand_before_a_question_and_are_never_itself(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    from dapeng.evaluate import questions

    def spy(column: Any, decoder: Any, texts: Any) -> np.ndarray:
        seen.extend(before for before, _ in texts)
        return likelihoods(column, decoder, texts)

    monkeypatch.setattr(questions, "likelihoods", spy)
    group = [Question(f"the {a} says", s, (s, "x")) for a, s in SAYS.items()]
    ask(run.product, group, shots=2)
    for question, before in zip([q for q in group for _ in q.choices], seen):
        *examples, last = before.split("\n\n")
        assert last == question.prompt
        assert len(examples) == 2
        assert all(e.split(" says ")[1] == SAYS[e.split()[1]] for e in examples)
        assert not any(e.startswith(question.prompt) for e in examples)


def test_the_command_shows_a_table(run: Any, tmp_path: Path, capsys: Any) -> None:
    from dapeng.cli.main import main

    path = file_of(tmp_path, [choice("cat", "meow", "moo"), choice("cow", "meow", "moo")])
    assert main(["evaluate", str(run.path), "--questions", str(path), "--shots", "1"]) == 0
    shown = capsys.readouterr().out
    assert "1 examples before each question" in shown
    assert "accuracy_by_length" in shown


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "Expecting property name"),
        ([1], "expected a mapping"),
        ({"prompt": "a", "anwser": "b"}, "unknown key 'anwser'"),
        ({"prompt": "", "answer": "b"}, "prompt: expected a text"),
        ({"prompt": "a", "choices": ["b"], "answer": "b"}, "choices: expected two texts"),
        ({"prompt": "a", "choices": ["b", "c"], "answer": 2}, "answer: expected 0 to 1"),
        ({"prompt": "a", "choices": ["b", "c"], "answer": "d"}, "answer: expected one of the choices"),
        ({"prompt": "a"}, "answer: expected a text"),
        ({"prompt": "a", "answer": "b", "stop": [""]}, "stop: expected texts"),
    ],
)
def test_what_is_no_question_is_told_with_its_line(row: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"questions.jsonl:2: ") as error:
        read_questions(file_of(tmp_path, [{"prompt": "a", "answer": "b"}, row]))
    assert said in str(error.value)


def test_too_many_examples_and_missing_files_and_other_runs_are_refused(run: Any, tmp_path: Path) -> None:
    path = file_of(tmp_path, [choice("cat", "meow", "moo"), choice("cow", "meow", "moo")])
    with pytest.raises(DataError, match="there are 1 others"):
        run.ask(path, shots=2)
    with pytest.raises(DataError, match="can't be read"):
        run.ask(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="no question is there"):
        run.ask(file_of(tmp_path, []))
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    other = api.train(
        {"data": str(tmp_path / "t.csv"), "inputs": {"x": "number"}, "outputs": {"y": "category"}, "model": "linear"},
        runs=tmp_path / "runs",
    )
    path = file_of(tmp_path, [choice("cat", "meow", "moo")])
    with pytest.raises(RunError, match="only language models"):
        other.ask(path)
