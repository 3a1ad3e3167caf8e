"""Texts as outputs, through the whole way: trained, judged, predicted, served as a value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import dapeng
from dapeng import api
from dapeng.cli.main import main
from dapeng.core.errors import RunError, SpecError
from dapeng.data.batch import Batch, Cells
from dapeng.metrics.base import value_of
from dapeng.metrics.texts import Bleu, ChrF, Rouge1, Rouge2, RougeL, TextView, TokenF1
from dapeng.nn.features import Features

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SMALL = {"embed_dim": 48, "num_layers": 2, "num_heads": 2, "dropout": 0.0}
READ = {"type": "text", "tokeniser": "characters", "encoder": {"type": "transformer", **SMALL, "positions": "learned"}}


def numbers(path: Path, rows: int = 700) -> Path:
    """Digits, and the same in words."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            digits = draw.integers(0, 10, int(draw.integers(1, 4)))
            said = " ".join(WORDS[d] for d in digits)
            file.write(json.dumps({"digits": "".join(map(str, digits)), "words": said}) + "\n")
    return path


def trained(folder: Path, output: dict[str, Any], inputs: dict[str, Any], **train: Any) -> Any:
    settings = {"batch_size": 64, "learning_rate": 3e-3, "threads": 1, **train}
    spec = {
        "data": str(numbers(folder / "numbers.jsonl")),
        "inputs": inputs,
        "outputs": {"words": {"type": "text", **output}},
        "model": "network",
        "train": settings,
        "evaluate": {"baselines": [], "resamples": 50},
    }
    return api.train(spec, runs=folder / "runs")


@pytest.fixture(scope="module")
def spelling(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("spelling")
    output = {"tokeniser": "characters", "decoder": {"type": "llama", **SMALL}}
    return trained(folder, output, {"digits": READ}, epochs=45)


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A language model: nothing goes in."""
    folder = tmp_path_factory.mktemp("language")
    return trained(folder, {"tokeniser": "bytes", "decoder": {"type": "gpt", **SMALL}}, {}, epochs=30)


def test_digits_are_spelt_out_and_judged(spelling: Any) -> None:
    found = spelling.metrics["outputs"]["words"]
    figures = {n: m["value"] for n, m in found["metrics"].items()}
    assert figures["exact_match"] > 0.8
    assert figures["token_f1"] > 0.9
    assert figures["bits_per_byte"] < 0.3
    assert 1 <= figures["perplexity"] < 1.5
    assert found["headline"] == "chrf"
    assert {"written", "truth"} == set(found["samples"][0])
    report = (spelling.path / "report.html").read_text(encoding="utf-8")
    assert "What was written" in report


def test_predictions_are_texts_for_rows_that_were_never_seen(spelling: Any, tmp_path: Path, capsys: Any) -> None:
    table = tmp_path / "new.csv"
    table.write_text("digits\n12\n7\n905\n", encoding="utf-8")
    assert main(["predict", str(spelling.path), str(table)]) in (0, None)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "words"
    assert len(said) == 4
    assert "seven" in said[2]
    kept = pq.read_table(spelling.path / "predictions.parquet")
    assert set(kept["words.truth"].to_pylist()[0].split()) <= set(WORDS)


def test_a_batch_is_written_as_its_rows_are_alone(spelling: Any) -> None:
    texts = [{"digits": d} for d in ("1", "22", "333", "4", "909")]
    together = spelling.predict(texts)
    alone = [spelling.predict([t])["words"][0].as_py() for t in texts]
    assert together["words"].to_pylist() == alone


def test_a_language_model_needs_no_input_and_learns_the_texts(language: Any) -> None:
    figures = {n: m["value"] for n, m in language.metrics["outputs"]["words"]["metrics"].items()}
    assert figures["bits_per_byte"] < 2.6  # letters of these words alone, without their order, need 3.3
    assert "exact_match" not in figures  # nothing was written
    assert "bleu" not in figures


def test_a_run_is_judged_on_other_rows(spelling: Any, tmp_path: Path) -> None:
    found = spelling.evaluate(str(numbers(tmp_path / "other.jsonl", 40)))["outputs"]["words"]
    assert found["metrics"]["exact_match"]["value"] > 0.8
    assert found["metrics"]["bits_per_byte"]["value"] < 0.3


def test_the_worst_texts_are_shown_with_what_was_read_and_written_least_alike_first(spelling: Any) -> None:
    from dapeng.report.rows import worst

    found = spelling.metrics["outputs"]["words"]
    shown, every = worst(spelling.folder, "words", found, 50)
    kept = pq.read_table(spelling.path / "predictions.parquet").to_pydict()
    wrong = [i for i, (w, t) in enumerate(zip(kept["words.wrote"], kept["words.truth"])) if w != t]
    assert every == len(wrong) > 0
    assert {(w.said, w.truth) for w in shown} <= {(kept["words.wrote"][i], kept["words.truth"][i]) for i in wrong}
    scores = [w.surety for w in shown]
    assert scores == sorted(scores)
    assert scores[0] == min(kept["words.chrf" if "words.chrf" in kept else "words.token_f1"][i] for i in wrong)
    report = (spelling.path / "report.html").read_text(encoding="utf-8")
    errors = report[report.index("Worst errors</h2>") :]
    assert f"<bdi>{shown[0].truth}</bdi>" in errors
    assert f"<bdi>{shown[0].said}</bdi>" in errors
    assert f"{every} of 70 texts are not the true one" in errors
    digits = "".join(str(WORDS.index(w)) for w in shown[0].truth.split())
    assert f"<bdi>{digits}</bdi>" in errors
    assert "off by" not in errors


def test_the_report_of_a_language_model_shows_the_texts_that_were_hardest_to_foresee(language: Any) -> None:
    report = (language.path / "report.html").read_text(encoding="utf-8")
    assert "What was written" not in report  # nothing was
    errors = report[report.index("Worst errors</h2>") :]
    assert "texts that were hardest to foresee" in errors
    assert "bits per byte" in errors
    assert "written</dt>" not in errors


def test_scores_of_single_texts_are_those_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="needs sacrebleu (dapeng[text])")
    said, true = ["the cat sat", "", "a dog"], ["the cat sits", "no", "a dog"]
    view = TextView(np.array(said, object), np.array(true, object), np.zeros(3), np.ones(3))
    wanted = [sacrebleu.sentence_chrf(a, [b]).score for a, b in zip(said, true)]
    assert ChrF().each(view).tolist() == pytest.approx(wanted)
    assert TokenF1().each(view).tolist() == pytest.approx([4 / 6, 0, 1])


def test_a_language_model_is_trained_once_and_not_in_folds(language: Any) -> None:
    assert "560 rows train, 70 validate, 70 test" in language.metrics["how"]


def test_a_language_model_is_judged_on_other_texts(language: Any, tmp_path: Path) -> None:
    found = language.evaluate(str(numbers(tmp_path / "other.jsonl", 40)))["outputs"]["words"]
    own = language.metrics["outputs"]["words"]["metrics"]["bits_per_byte"]["value"]
    assert found["metrics"]["bits_per_byte"]["value"] == pytest.approx(own, rel=0.2)
    assert found["rows"] == 40


def column_of(limit: int, texts: list[str]) -> tuple[Any, Cells]:
    """A column of bytes with at most so many tokens of a text, and these texts as a batch."""
    import pyarrow as pa

    from dapeng.columns.text import Text

    options = Text.model_validate({"tokeniser": "bytes", "max_length": limit})
    summary = options.summary(True)
    summary.add(pa.array(texts))
    column: Any = options.fitted("y", summary.result(), True)
    found = column.encode(pa.array(texts))
    assert found.lengths is not None
    sizes = torch.from_numpy(found.lengths)
    ids = torch.nn.utils.rnn.pad_sequence(torch.from_numpy(found.tensors["ids"]).split(sizes.tolist()), True)
    return column, Cells({"ids": ids, "mask": torch.arange(ids.shape[1]) < sizes[:, None]})


def decoder_of(column: Any, width: int | None) -> Any:
    from dapeng.decoders.llama import Llama
    from dapeng.models.build import Tables
    from dapeng.nn.features import Widths

    torch.manual_seed(0)
    options = Llama(embed_dim=16, num_layers=1, num_heads=2, dropout=0.0)
    loss = column.options.loss
    return options.build(column, None if width is None else Widths(tokens=width), Tables(), loss).eval()


def test_beside_inputs_the_beginning_of_a_long_text_is_learnt_openly_and_no_end() -> None:
    column, cells = column_of(4, ["hello world", "hey"])
    assert column.remarks() == ["1 or more texts have more than 4 tokens: beside inputs, what follows is not learnt"]
    decoder = decoder_of(column, 8)
    said = Features(tokens=torch.randn(2, 3, 8))
    assert decoder.count(cells).tolist() == [4, 4]  # four letters; three and the end
    _, of_short = column_of(4, ["hell", "hey"])
    with torch.no_grad():
        losses = decoder.loss(said, cells)
        other = decoder.loss(said, of_short)
    torch.testing.assert_close(losses[1], other[1])
    assert other[0] == losses[0]


def test_without_inputs_a_long_text_is_judged_window_by_window() -> None:
    column, cells = column_of(4, ["hello world", "hey", "1234567"])
    decoder = decoder_of(column, None)
    assert decoder.count(cells).tolist() == [12, 4, 8]
    ids, mask = cells["ids"].long(), cells["mask"]
    wanted = torch.zeros(3)
    with torch.no_grad():
        for row in range(3):
            for start in range(0, int(mask[row].sum()) - 1, 4):
                part, real = ids[row : row + 1, start : start + 5], mask[row : row + 1, start : start + 5]
                wanted[row] += decoder.writer.losses(part, real).sum()
        found = decoder.loss(None, cells)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_language_model_learns_from_windows_of_texts_laid_behind_each_other(tmp_path: Path) -> None:
    """Long texts and short ones: the figure of a window is about that of its letters; and resuming changes no bit."""
    path = tmp_path / "texts.jsonl"
    draw = np.random.default_rng(1)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(60):
            said = " ".join(WORDS[d] for d in draw.integers(0, 10, int(draw.integers(1, 200))))
            file.write(json.dumps({"text": said}) + "\n")
    spec = {
        "data": {"path": str(path), "split": {"by": "random", "train": 0.6, "test": 0.2, "validation": 0.2}},
        "outputs": {"text": {"type": "text", "tokeniser": "bytes", "max_length": 64, "decoder": {"type": "llama", **SMALL}}},
        "model": "network",
        "train": {"batch_size": 8, "learning_rate": 3e-3, "threads": 1, "epochs": 6},
        "evaluate": {"baselines": [], "resamples": 50},
    }  # fmt: skip
    run = api.train(spec, runs=tmp_path / "runs")
    log = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    tokens = sum(len(json.loads(t)["text"]) + 2 for t in path.read_text(encoding="utf-8").splitlines())
    steps = max(line["step"] for line in log if "step" in line)
    assert steps < 6 * tokens / (8 * 64) < 1.9 * steps  # about 60 % of the tokens, each once an epoch
    assert run.metrics["outputs"]["text"]["metrics"]["bits_per_byte"]["value"] < 1.2


def test_a_small_unigram_vocabulary_holds_every_letter() -> None:
    import pyarrow as pa

    from dapeng.columns.text import Text

    pytest.importorskip("sentencepiece", reason="needs sentencepiece (dapeng[text])")
    options = Text.model_validate({"tokeniser": "unigram"})
    summary = options.summary(True)
    summary.add(pa.array(["".join(chr(0x4E00 + 7 * i + j) for j in range(30)) for i in range(60)]))
    column = options.fitted("y", summary.result(), True)
    assert column.decode({"ids": [column.encode(pa.array(["一丁"])).tensors["ids"]]}) == ["一丁"]
    empty = options.summary(True)
    empty.add(pa.array([None, ""], pa.string()))
    assert options.fitted("y", empty.result(), True).size > 256


def test_characters_keep_every_one_that_there_is_and_no_bits_are_won_by_those_that_are_unknown() -> None:
    import pyarrow as pa

    from dapeng.columns.text import Text
    from dapeng.metrics.texts import BitsPerByte

    options = Text.model_validate({"tokeniser": "characters"})
    summary = options.summary(True)
    texts = ["".join(chr(0x4E00 + 31 * i + j) for j in range(31)) for i in range(100)]
    summary.add(pa.array(texts))
    column = options.fitted("y", summary.result(), True)
    ids = [column.encode(pa.array([t])).tensors["ids"] for t in texts]
    assert column.decode({"ids": ids[:1]}) == texts[:1]
    assert column.truth({"ids": ids}).tolist() == texts
    strange = column.truth({"ids": [column.encode(pa.array(["一😀"])).tensors["ids"]]})
    assert strange.tolist() == ["一\ufffd"]
    view = TextView(strange, strange, np.array([3 * np.log(2)]), np.ones(1), False)
    assert value_of(BitsPerByte(), view) == pytest.approx(1.0)  # three bits for the three bytes that are known


def test_a_run_is_the_same_after_it_was_loaded(spelling: Any) -> None:
    again = dapeng.load(spelling.path)
    rows = [{"digits": "31"}]
    assert again.predict(rows).equals(spelling.predict(rows))


def test_the_loss_of_a_text_does_not_depend_on_those_beside_it(spelling: Any) -> None:
    model = spelling.product.model.eval()
    column, given = spelling.product.outputs["words"], spelling.product.inputs["digits"]

    def batch(rows: list[tuple[str, str]]) -> Batch:
        columns = {}
        for name, fitted, at in (("digits", given, 0), ("words", column, 1)):
            import pyarrow as pa

            found = fitted.encode(pa.array([r[at] for r in rows]))
            sizes = found.lengths.tolist()
            ids, mask = torch.zeros(len(rows), max(sizes), dtype=torch.int64), torch.zeros(len(rows), max(sizes)).bool()
            for row, (end, size) in enumerate(zip(np.cumsum(sizes), sizes)):
                ids[row, :size] = torch.from_numpy(found.tensors["ids"][end - size : end].astype(np.int64))
                mask[row, :size] = True
            columns[name] = Cells({"ids": ids, "mask": mask})
        return Batch(columns, torch.arange(len(rows)))

    rows = [("1", "one"), ("777", "seven seven seven"), ("20", "two zero")]
    with torch.no_grad():
        together = model.losses(batch(rows))["words"]
        alone = torch.cat([model.losses(batch([r]))["words"] for r in rows])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert model.decoders["words"].count(batch(rows)["words"]).tolist() == [4.0, 18.0, 9.0]  # the end counts


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("outputs.words.tokeniser", "ngrams", "'ngrams' is not for outputs"),
        ("inputs.digits.tokeniser", "unigram", "'unigram' is not for inputs"),
        ("outputs.words.decoder.num_heads", "5", "num_heads 5 does not divide"),
        ("outputs.words.decoder", "class", "does not fit a text"),
        ("outputs.words.loss", "mse", "does not fit a text"),
        ("outputs.words.decoder.beams", "0", "beams"),
    ],
)
def test_what_does_not_fit_a_text_is_said_before_data_is_read(path: str, value: str, said: str, tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "data: none.csv\ninputs: {digits: {type: text, encoder: transformer}}\n"
        "outputs: {words: {type: text, decoder: {type: llama}}}\n"
    )
    with pytest.raises(SpecError) as caught:
        api.train(str(spec), overrides=[f"{path}={value}"], runs=tmp_path)
    assert said in str(caught.value)


def test_an_encoder_without_tokens_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="needs tokens"):
        trained(tmp_path, {}, {"digits": "vector"}, epochs=1)


def test_bleu_and_chrf_are_those_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="needs sacrebleu (dapeng[text])")
    said = ["the cat sat on the mat", "a dog runs", "", "two men talk outside"]
    true = ["the cat is on the mat", "a dog runs fast", "nothing", "two men talk outside"]
    view = TextView(np.array(said, object), np.array(true, object), np.zeros(4), np.ones(4))
    assert value_of(Bleu(), view) == pytest.approx(sacrebleu.corpus_bleu(said, [true]).score)
    assert value_of(ChrF(), view) == pytest.approx(sacrebleu.corpus_chrf(said, [true]).score)
    assert "tok:13a" in Bleu().signature(view)
    chinese = np.array(["今天天气很好", "我爱你"], object)
    view = TextView(chinese, np.array(["今天天气好", "我爱你"], object), np.zeros(2), np.ones(2))
    wanted = sacrebleu.corpus_bleu(chinese.tolist(), [view.texts.tolist()], tokenize="zh").score
    assert value_of(Bleu(), view) == pytest.approx(wanted)
    assert "tok:zh" in Bleu().signature(view)


def test_overlaps_of_words_are_those_counted_by_hand() -> None:
    view = TextView(
        np.array(["the cat sat", "猫坐着"], object),
        np.array(["The cat sat down!", "猫站着"], object),
        np.zeros(2),
        np.ones(2),
    )
    assert value_of(TokenF1(), view) == pytest.approx((6 / 7 + 4 / 6) / 2)
    assert value_of(Rouge1(), view) == pytest.approx((6 / 7 + 4 / 6) / 2)
    assert value_of(RougeL(), view) == pytest.approx((6 / 7 + 4 / 6) / 2)
    nothing = TextView(np.array(["cat", "?"], object), np.array(["dog", "!"], object), np.zeros(2), np.ones(2))
    assert value_of(Rouge2(), nothing) == value_of(TokenF1(), nothing) == 0


def test_a_language_model_goes_on_with_a_text(language: Any, capsys: Any) -> None:
    assert main(["chat", str(language.path), "--prompt", "seven ", "--max-tokens", "30", "--temperature", "0"]) == 0
    said = capsys.readouterr().out
    assert said == language.write("seven ", max_tokens=30, temperature=0) + "\n"
    assert set(said.split()) & set(WORDS)
    assert language.write(["one", "two"], seed=3) == [language.write(p, seed=3) for p in ("one", "two")]


def test_lines_are_answered_one_by_one(spelling: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("7\n12\n"))
    assert main(["chat", str(spelling.path)]) == 0
    wanted = [spelling.predict([{"digits": d}])["words"][0].as_py() for d in ("7", "12")]
    assert capsys.readouterr().out.splitlines() == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chat", "RUN", "--prompt", "x", "--temperature", "-1"], "temperature: expected from 0 to 100, found -1.0"),
        (["chat", "RUN", "--prompt", "x", "--top-p", "0"], "top_p: expected above 0, at most 1"),
        (["export", "RUN"], "exporting"),
        (["compress", "RUN"], "compressing"),
        (["explain", "RUN"], "explaining"),
        (["predict", "RUN", "DATA"], "dapeng chat"),
        (["serve", "RUN"], "dapeng chat"),
        (["chat", "RUN", "--temp", "1"], "did you mean '--temperature'?"),
    ],
)
def test_what_a_written_text_cannot_do_yet_is_said(words: list[str], said: str, language: Any, capsys: Any) -> None:
    data = str(numbers(language.path.parent / "more.jsonl", 5))
    assert main([{"RUN": str(language.path), "DATA": data}.get(w, w) for w in words]) == 2
    assert said in capsys.readouterr().err


def test_a_text_that_no_row_that_trains_has_is_named(tmp_path: Path, capsys: Any) -> None:
    table = tmp_path / "t.csv"
    table.write_text("said,written\n" + "".join(f"a word {i},\n" for i in range(40)), encoding="utf-8")
    words = ["train", str(table), "--target", "written", "outputs.written=text", "--runs", str(tmp_path / "runs")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "outputs.written: no row that trains has it" in said
    assert "name another output" in said


def test_one_true_text_is_enough_to_train_and_nothing_is_claimed(tmp_path: Path, capsys: Any) -> None:
    spec = tmp_path / "t.yaml"
    (tmp_path / "t.csv").write_text("said,written\n" + "".join(f"a b {i},{'yes' * (i == 5)}\n" for i in range(60)))
    tiny = "embed_dim: 16, num_layers: 1, num_heads: 2"
    spec.write_text(
        f"data: t.csv\ninputs: {{said: {{type: text, encoder: {{type: transformer, {tiny}}}}}}}\n"
        f"outputs: {{written: {{type: text, decoder: {{type: llama, {tiny}}}}}}}\n"
        "model: network\ntrain: {epochs: 1}\nevaluate: {baselines: []}\n"
    )
    assert main(["train", str(spec), "--runs", str(tmp_path / "runs")]) == 0
    assert "no test row has the true answer" in capsys.readouterr().err


def test_what_is_no_language_model_says_what_it_is(tmp_path: Path, spelling: Any) -> None:
    with pytest.raises(RunError, match="this run makes words from digits"):
        spelling.write("7")


def test_free_text_as_a_target_is_proposed_as_text_to_be_written(tmp_path: Path, capsys: Any) -> None:
    table = tmp_path / "pairs.csv"
    lines = [f"ein Satz mit der Nummer {i},a sentence with the number {i}\n" for i in range(120)]
    table.write_text("de,en\n" + "".join(lines), encoding="utf-8")
    assert main(["init", str(table), "--target", "en"]) == 0
    said = capsys.readouterr().out
    assert "en: text" in said
    assert "to be written" in said


@pytest.mark.parametrize(
    "text", ["a\x00b", "😀 👩‍👩‍👧", "你好，世界", "مرحبا بالعالم", "e\u0301 é", "line\nbreak\ttab", "\ufeffbom"]
)
@pytest.mark.parametrize("tokeniser", ["bpe", "characters", "bytes"])
def test_strange_letters_come_back_as_they_were(text: str, tokeniser: str) -> None:
    import pyarrow as pa

    from dapeng.columns.text import Text

    options = Text.model_validate({"tokeniser": tokeniser})
    summary = options.summary(True)
    summary.add(pa.array([text, "plain text"] * 5))
    column = options.fitted("y", summary.result(), True)
    assert column.decode({"ids": [column.encode(pa.array([text])).tensors["ids"]]}) == [text]


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
