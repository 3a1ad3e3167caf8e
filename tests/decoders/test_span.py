"""Answers that are pointed at in a passage: what is learnt, what is said of what can't be, and what leaves as a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import dapeng
from dapeng import api
from dapeng.api.columns import Chosen, settle
from dapeng.columns.borrowed import Borrowed
from dapeng.core.errors import RunError, SpecError
from dapeng.core.kinds import encoders
from dapeng.core.loader import load_spec
from dapeng.data.feed import Rows
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.table import Frame
from dapeng.evaluate.again import evaluate_on
from dapeng.models.build import Choices, build_model, with_encoders
from dapeng.nn.spans import NEVER
from dapeng.serve.engine import Engine

NAMES, THINGS = "甲乙丙丁戊己庚辛壬癸", ["笔", "书", "车", "房", "马"]
VALUES = ["红色", "蓝色", "三个", "十二个", "北京", "上海市", "木头", "很旧"]
READ = {"type": "dilated", "embed_dim": 32, "kernel": 3, "dilations": [1], "dropout": 0.1}
POINTS = {"type": "span", "of": "passage", "embed_dim": 32, "dilations": [1, 2], "dropout": 0.1}


def facts(rows: int, seed: int = 0) -> dict[str, list[str]]:
    """Passages of four facts, a question on one of them, and the answer, whose words stand in other facts too."""
    draw = np.random.default_rng(seed)
    found: dict[str, list[str]] = {"passage": [], "question": [], "answer": []}
    for _ in range(rows):
        pairs = draw.choice(len(NAMES) * len(THINGS), 4, replace=False)
        known = [(NAMES[i % len(NAMES)], THINGS[i // len(NAMES)], VALUES[draw.integers(len(VALUES))]) for i in pairs]
        who, what, value = known[int(draw.integers(4))]
        found["passage"].append("".join(f"{a}的{b}是{c}。" for a, b, c in known))
        found["question"].append(f"{who}的{what}是什么？")
        found["answer"].append(value)
    return found


def spec_of(data: str = "none.csv", **changed: Any) -> dict[str, Any]:
    """passage, question -> answer; changed: columns by name."""
    columns: dict[str, Any] = {
        "passage": {"type": "text", "tokeniser": "characters", "lowercase": False, "normalise": "NFC", "encoder": READ},
        "question": {"type": "text", "like": "passage"},
        "answer": {"type": "text", "like": "passage", "max_length": 8, "decoder": POINTS},
        **changed,
    }
    answer = columns.pop("answer")
    columns = {n: c for n, c in columns.items() if c is not None}
    train = {"epochs": 12, "batch_size": 32, "learning_rate": 5e-3, "threads": 1}
    judged = {"baselines": ["best_sentence"], "resamples": 50}
    outputs = {"answer": answer}
    return {"data": data, "inputs": columns, "outputs": outputs, "model": "network", "train": train, "evaluate": judged}


def made(rows: dict[str, list[Any]], **changed: Any) -> tuple[Any, Rows, dict[str, Any]]:
    """A network that has learnt nothing over these rows, in evaluation; its batches; its outputs."""
    spec = load_spec(spec_of(**changed)).spec
    chosen = Chosen(dict(spec.inputs), dict(spec.outputs))
    settle(chosen, None)
    source = Frame(pa.table({n: pa.array(v, pa.string()) for n, v in rows.items()}))
    wanted = {**{n: (o, False) for n, o in chosen.inputs.items()}, **{n: (o, True) for n, o in chosen.outputs.items()}}
    fitted = fit_columns(source, wanted, lambda start, count: np.ones(count, bool))
    inputs = with_encoders({n: fitted[n] for n in chosen.inputs}, source.count(), Choices())
    outputs = {n: fitted[n] for n in chosen.outputs}
    torch.manual_seed(0)
    model = build_model(spec, inputs, outputs, Choices()).eval()
    for parameter in model.parameters():  # also what begins at zero says something
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model, Rows(Prepared(inputs, outputs, None, 1.0).store(source)), outputs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("span")
    pq.write_table(pa.table(facts(900)), folder / "facts.parquet")
    return api.train(spec_of(str(folder / "facts.parquet")), runs=folder / "runs")


def test_it_learns_to_answer_where_the_sentence_alone_is_not_the_answer(run: Any) -> None:
    found = run.metrics["outputs"]["answer"]
    assert found["metrics"]["exact_match"]["value"] > 0.9
    assert found["metrics"]["token_f1"]["value"] > 0.9
    board = {r["name"]: r["metrics"] for r in found["leaderboard"]}
    assert board["product"]["chrf"]["value"] > board["best_sentence"]["chrf"]["value"] + 20


def test_answers_are_the_same_alone_together_and_from_a_loaded_run(run: Any) -> None:
    asked = facts(20, seed=1)
    rows = [{"passage": p, "question": q} for p, q in zip(asked["passage"], asked["question"])]
    rows[3]["passage"] += "丑的" * 40  # another length of batch
    together = run.predict(rows)["answer"].to_pylist()
    assert [run.predict([r])["answer"][0].as_py() for r in rows] == together
    assert dapeng.load(run.path).predict(rows)["answer"].to_pylist() == together
    assert all(said in row["passage"] for said, row in zip(together, rows))
    assert np.mean([a == b for a, b in zip(together, asked["answer"])]) > 0.85


def orders(rows: int, seed: int = 0) -> dict[str, list[str]]:
    """Orders with numbers, most of them new to any vocabulary, and names with capitals."""
    draw = np.random.default_rng(seed)
    numbers = [f"{n:,}.{c:02}" for n, c in zip(draw.integers(1000, 99_999, rows), draw.integers(100, size=rows))]
    names = [str(draw.choice(["Kim", "O'Neil", "ＡＢＣ Ltd", "McKay"])) for _ in range(rows)]
    asked = draw.integers(2, size=rows)
    return {
        "note": [f"Invoice for  {a}:\nplease pay EUR {n}, soon." for a, n in zip(names, numbers)],
        "question": [("Who pays?", "How much?")[i] for i in asked],
        "answer": [(a, n)[i] for a, n, i in zip(names, numbers, asked)],
    }


def test_what_is_pointed_at_comes_back_as_it_stands_and_is_judged_so(tmp_path: Path) -> None:
    pq.write_table(pa.table(orders(600)), tmp_path / "orders.parquet")
    spec = spec_of(str(tmp_path / "orders.parquet"))
    words = {"type": "text", "tokeniser": "words", "min_count": 3, "encoder": READ}
    spec["inputs"] = {"note": words, "question": {"type": "text", "like": "note"}}
    spec["outputs"] = {"answer": {"type": "text", "like": "note", "max_length": 8, "decoder": {**POINTS, "of": "note"}}}
    run = api.train(spec, runs=tmp_path / "runs")
    board = {r["name"]: r["metrics"]["exact_match"]["value"] for r in run.metrics["outputs"]["answer"]["leaderboard"]}
    assert board["product"] > 0.9
    given = orders(40, seed=1)
    rows = [{"note": n, "question": q} for n, q in zip(given["note"], given["question"])]
    said = run.predict(rows)["answer"].to_pylist()
    assert all(s in n for s, n in zip(said, given["note"]))
    assert np.mean([s == a for s, a in zip(said, given["answer"])]) > 0.9
    again = evaluate_on(run.product, Frame(pa.table(given)))["outputs"]["answer"]["metrics"]["exact_match"]["value"]
    assert again == pytest.approx(np.mean([s == a for s, a in zip(said, given["answer"])]))
    served = Engine(run.product, "orders")
    answered = served.answers(served.check(rows).rows)
    assert [a["answer"]["value"] for a in answered] == said


@pytest.mark.parametrize("format", ["torch", "onnx"])
def test_what_leaves_as_a_file_points_at_the_same_stretch(run: Any, format: str, tmp_path: Path) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime", reason="exports by the extra `export`")
        pytest.importorskip("onnxscript", reason="exports by the extra `export`")
    facts_of = run.export(format, tmp_path / "out")
    assert facts_of["largest_difference"] < 1e-3  # of ids: they are the same


def test_a_folder_that_says_values_by_itself_is_refused_in_words(run: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="answer is a text that is written: exporting such is not there yet") as refused:
        run.export("standalone", tmp_path / "out")
    hint = refused.value.problems[0].hint
    assert "--format onnx" in hint  # which holds it, unlike those for language models
    assert "gguf" not in hint
    assert "transformers" not in hint


def test_the_padding_is_never_pointed_at() -> None:
    rows = facts(6)
    rows["passage"][0] = "甲的笔是红色。"
    model, batches, _ = made(rows)
    batch = batches.batch(np.arange(6))
    parts = model.encode(batch)
    decoder: Any = model.decoders["answer"]
    scores = decoder.scores(parts)
    real = batch["passage"]["mask"].sum(1)
    for row in range(6):
        for start, size in (scores[row] > NEVER).nonzero().tolist():
            assert start + size + 1 <= int(real[row])
    assert (scores[0] > NEVER).any()


def test_how_far_a_batch_is_padded_changes_nothing() -> None:
    rows = facts(6)
    rows["passage"][5] = rows["passage"][5] * 4
    rows["question"][4] = "问" * 30 + rows["question"][4]
    model, batches, _ = made(rows)
    with torch.inference_mode():
        together = model(batches.batch(np.arange(6)))["answer"]
        for row in range(6):
            alone = model(batches.batch(np.array([row])))["answer"]
            assert torch.equal(alone["ids"][0], together["ids"][row])
            torch.testing.assert_close(alone["nats"][0], together["nats"][row], rtol=1e-4, atol=1e-4)


def test_the_loss_is_over_every_place_where_the_answer_stands() -> None:
    rows = {"passage": ["红的笔是红的。"], "question": ["笔是什么色？"], "answer": ["红"]}
    model, batches, _ = made(rows)
    batch = batches.batch(np.arange(1))
    scores = model.decoders["answer"].scores(model.encode(batch))[0].detach()
    every = [float(scores[s, n]) for s, n in (scores > NEVER).nonzero().tolist()]
    right = [float(scores[0, 0]), float(scores[4, 0])]
    wanted = np.log(np.exp(every).sum()) - np.log(np.exp(right).sum())
    assert float(model.losses(batch)["answer"][0]) == pytest.approx(wanted, rel=1e-4)


def test_an_answer_that_stands_nowhere_and_a_missing_one_count_nothing() -> None:
    rows = facts(5)
    rows["answer"][1] = "紫色"
    rows["answer"][2] = None  # type: ignore[call-overload]
    rows["answer"][3] = rows["passage"][3][:9]  # longer than max_length
    model, batches, _ = made(rows)
    batch = batches.batch(np.arange(5))
    loss = model.losses(batch)["answer"]
    assert (loss[[0, 4]] > 0).all()
    assert loss[[1, 2, 3]].tolist() == [0, 0, 0]
    found = model(batch)["answer"]
    assert found["tokens"].tolist() == [len(rows["answer"][0]), 0, 0, 0, len(rows["answer"][4])]
    loss.sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_without_a_passage_nothing_is_said_and_without_a_question_something() -> None:
    rows = facts(5)
    rows["passage"][1], rows["question"][2] = None, None  # type: ignore[call-overload]
    model, batches, outputs = made(rows)
    with torch.inference_mode():
        found = model(batches.batch(np.arange(5)))["answer"]
    said = outputs["answer"].decode({n: t.numpy() for n, t in found.items()})
    assert said[1] == ""
    assert said[2]
    assert said[2] in rows["passage"][2]


def test_several_questions_are_read_one_behind_the_other() -> None:
    rows = {**facts(5), "hint": ["红", "蓝", "三", "十", "木"]}
    model, batches, _ = made(rows, hint={"type": "text", "like": "passage"})
    assert model.decoders["answer"].reads == ("passage", "question", "hint")
    batch = batches.batch(np.arange(5))
    first = model.losses(batch)["answer"]
    blank = batch.replace({"hint": batch["hint"].take(torch.tensor([1, 0, 3, 4, 2]))})
    assert not torch.allclose(first, model.losses(blank)["answer"])


def test_every_parameter_gets_a_gradient() -> None:
    model, batches, _ = made(facts(8))
    model.losses(batches.batch(np.arange(8)))["answer"].sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("tokeniser", "passage"), [("characters", "Der Zug, 3.5 km!"), ("words", "The train, which is late, has 12 cars.")]
)
def test_what_is_written_in_the_tokens_of_an_input_is_read_back(tokeniser: str, passage: str) -> None:
    rows = {"passage": [passage, "红色 Auto 是"], "question": ["a", "b"], "answer": [passage, "红色 Auto"]}
    read = {"type": "text", "tokeniser": tokeniser, "lowercase": False, "normalise": "NFC", "encoder": READ}
    _, batches, outputs = made(rows, passage=read)
    column = outputs["answer"]
    ids = batches.batch(np.arange(2))["answer"]["ids"]
    assert column.codec.encode([passage])[0].tolist() == ids[0, 1 : 1 + len(column.codec.encode([passage])[0])].tolist()
    assert column.truth({"ids": ids.numpy()})[0] == passage
    assert column.describe().startswith(f"text to write, {column.size} {tokeniser} of passage")


def test_capitals_and_full_width_signs_that_reading_loses_are_told_where_there_are_such() -> None:
    read = {"type": "text", "tokeniser": "characters", "encoder": READ}
    rows = facts(8)
    rows["answer"][0] = "红（Auto）"
    writes = {
        "type": "text",
        "like": "passage",
        "decoder": {"type": "gru", "embed_dim": 32, "hidden": 8, "dropout": 0.0},
    }
    _, _, outputs = made(rows, passage=read, answer=writes)
    told = " ".join(outputs["answer"].remarks())
    assert "of the texts are learnt and written otherwise than they stand: passage is read in small letters" in told
    assert "inputs.passage.lowercase=false" in told
    assert "inputs.passage.normalise=NFC" in told
    pointed_at = made(rows, passage=read)  # comes back letter by letter
    for unchanged in (made(facts(8), passage=read, answer=writes), made(rows, answer=writes), pointed_at):
        assert not any("otherwise than they stand" in r for r in unchanged[2]["answer"].remarks())


def refused(**changed: Any) -> str:
    with pytest.raises(SpecError) as caught:
        made({**facts(8), "hint": ["红"] * 8}, **changed)
    return str(caught.value)


def answer(**changed: Any) -> dict[str, Any]:
    return {"type": "text", "like": "passage", **changed}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"answer": answer(decoder={"type": "span", "of": "pasage"})},
            "outputs.answer.decoder.of: 'pasage' is no input\n  hint: one of passage, question",
        ),
        (
            {"answer": {"type": "text", "decoder": "span"}},
            "outputs.answer.decoder.of: no input is named that the answer is a stretch of\n  hint: outputs.answer.like=passage",
        ),
        (
            {"answer": {"type": "text", "decoder": {"type": "span", "of": "passage"}}},
            "outputs.answer.like: an answer that is pointed at in passage has its tokens\n  hint: outputs.answer.like=passage",
        ),
        (
            {"question": {"type": "text", "encoder": READ}},
            "inputs.question.like: question has tokens of its own, which can't be found in passage\n"
            "  hint: inputs.question.like=passage",
        ),
        (
            {"question": None},
            "outputs.answer.decoder: no text beside passage asks for a stretch of it\n"
            "  hint: add the question to inputs: {type: text, like: passage}",
        ),
        (
            {"passage": {"type": "text", "tokeniser": "bpe", "encoder": READ}},
            "inputs.passage.tokeniser: bpe cut an answer otherwise than the passage around it, in which it is not found again\n"
            "  hint: inputs.passage.tokeniser=characters (or words)",
        ),
        (
            {"answer": {"type": "text", "like": "question", "chat": True, "decoder": {"type": "gru", "embed_dim": 32}}},
            "outputs.answer.like: a conversation has marks of its own, which the tokens of an input lack\n"
            "  hint: remove it, or chat",
        ),
        (
            {"answer": answer(decoder=POINTS, vocab_size=500)},
            "outputs.answer.vocab_size: answer has the tokens of passage, whose settings hold for both\n"
            "  hint: remove it, or set inputs.passage.vocab_size",
        ),
        (
            {"answer": answer(decoder={"type": "gru", "embed_dim": 16})},
            "outputs.answer.decoder.embed_dim: answer shares its table with passage, whose vectors have 32 numbers and not 16\n"
            "  hint: outputs.answer.decoder.embed_dim=32",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_pointed_at_is_said_with_what_to_type(changed: dict[str, Any], told: str) -> None:
    assert told in refused(**changed)


def test_an_encoder_that_gives_no_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders.members()["bag"], "gives", frozenset({"pooled"}))
    told = refused(question={"type": "text", "like": "passage", "encoder": {"type": "bag", "embed_dim": 32}})
    assert "inputs.question.encoder: bag tells nothing of single tokens, at which the decoder of answer points" in told
    assert "hint: inputs.question.encoder=dilated (or transformer, lstm, gru)" in told


def test_an_input_that_is_no_text_has_no_stretch() -> None:
    rows = {**facts(8), "year": ["1", "2", "3", "4", "5", "6", "7", "8"]}
    spec = load_spec(spec_of(year="number", answer=answer(decoder={"type": "span", "of": "year"}))).spec
    with pytest.raises(
        SpecError, match="'year' is a number, and a stretch is of a text\n  hint: one of passage, question"
    ):
        settle(Chosen(dict(spec.inputs), dict(spec.outputs)), None)
    assert len(rows["year"]) == 8


def test_answers_that_stand_nowhere_or_are_too_long_are_told_with_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = facts(60)
    rows["answer"][:3] = ["紫色", "紫色", "没有"]
    rows["answer"][7] = rows["passage"][7][:9]
    pq.write_table(pa.table(rows), tmp_path / "facts.parquet")
    spec = spec_of(str(tmp_path / "facts.parquet"))
    spec["data"] = {"train": spec["data"], "test": spec["data"]}
    spec["train"] |= {"epochs": 1}
    api.train(spec, runs=tmp_path / "runs")
    told = " ".join(capsys.readouterr().err.split())
    found = re.findall(
        r"answer: (\d) of \d\d answers (stand nowhere in passage|have more than 8 tokens): nothing is learnt", told
    )
    assert [what for _, what in found] == ["stand nowhere in passage", "have more than 8 tokens"]
    assert 1 <= int(found[0][0]) <= 3
    assert found[1][0] == "1"


def test_the_longest_stretch_is_what_nearly_all_answers_need_where_nothing_is_said() -> None:
    rows = facts(200)
    rows["answer"] = [p[n % 9 : n % 9 + 4] for n, p in enumerate(rows["passage"])]
    rows["answer"][0] = rows["passage"][0]
    _, _, outputs = made(rows, answer={"type": "text", "like": "passage", "decoder": POINTS})
    assert outputs["answer"].max_length == 4
    rows["answer"] = ["红色", "蓝色", "三个", "十二个"] * 50  # the longest of few is one that many rows have
    _, _, outputs = made(rows, answer={"type": "text", "like": "passage", "decoder": POINTS})
    assert outputs["answer"].max_length == 3


def test_questions_of_several_widths_are_refused() -> None:
    wide = {"type": "lstm", "embed_dim": 32, "hidden": 24}
    told = refused(hint={"type": "text", "like": "passage", "encoder": wide})
    assert (
        "inputs.hint.encoder: their tokens have 32 numbers (question), 24 numbers (hint), and are read as one question"
        in told
    )


def test_what_writes_token_by_token_can_share_the_tokens_and_the_table_of_an_input_too() -> None:
    writer = {"type": "gru", "embed_dim": 32, "hidden": 32, "dropout": 0.0}
    model, batches, outputs = made(facts(8), answer={"type": "text", "like": "passage", "decoder": writer})
    assert [n for n, _ in model.tables.named_parameters()] == ["passage.weight"]
    batch = batches.batch(np.arange(8))
    assert torch.isfinite(model.losses(batch)["answer"]).all()
    with torch.inference_mode():
        said = outputs["answer"].decode({n: t.numpy() for n, t in model(batch)["answer"].items()})
    letters = {c for p in facts(8)["passage"] + facts(8)["question"] for c in p}
    assert set("".join(said)) <= letters
    assert "".join(said)


def test_the_words_of_public_weights_are_read_back_too() -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from tokenizers.decoders import WordPiece

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "train", "##s", "are", "late"]
    library = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    library.normalizer, library.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    library.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    library.decoder = WordPiece()
    state = {"tokeniser": {"kind": "file", "tokenizer": library.to_str()}, "lowercase": False, "form": "none"}
    codec = Borrowed(state)
    assert (codec.pad, codec.bos, codec.eos, codec.unknown) == (0, 2, 3, 1)
    ids, lengths = codec.encode(["the trains are late", "late trains"])
    assert ids.tolist() == [4, 5, 6, 7, 8, 8, 5, 6]  # with nothing put around them
    assert lengths.tolist() == [5, 3]
    assert codec.decode([2, 4, 5, 6, 3, 0]) == "the trains"
    assert codec.alone
