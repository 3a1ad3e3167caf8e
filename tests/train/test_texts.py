"""Texts as outputs, through the whole way: trained, judged, predicted, served as a value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tests.train.spelling import READ, SMALL, WORDS, numbers, trained

import dapeng
from dapeng import api
from dapeng.cli.main import main
from dapeng.core.errors import RunError, SpecError
from dapeng.data.batch import Batch, Cells


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
    assert figures["exact_match"] > 0.7
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


def test_a_language_model_is_trained_once_and_not_in_folds(language: Any) -> None:
    assert "560 rows train, 70 validate, 70 test" in language.metrics["how"]


def test_a_language_model_is_judged_on_other_texts(language: Any, tmp_path: Path) -> None:
    found = language.evaluate(str(numbers(tmp_path / "other.jsonl", 40)))["outputs"]["words"]
    own = language.metrics["outputs"]["words"]["metrics"]["bits_per_byte"]["value"]
    assert found["metrics"]["bits_per_byte"]["value"] == pytest.approx(own, rel=0.2)
    assert found["rows"] == 40


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


def test_answers_can_be_drawn_kept_to_an_expression_and_ended(spelling: Any) -> None:
    rows = [{"digits": "1 2 3"}, {"digits": "4 5"}, {"digits": "6"}]
    likeliest = spelling.predict(rows)["words"].to_pylist()
    assert (
        spelling.predict(rows, max_tokens=200)["words"].to_pylist() == likeliest
    )  # the likeliest token, if nothing else is said
    drawn = [spelling.predict(rows, temperature=5.0, seed=s)["words"].to_pylist() for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert spelling.predict(rows[:1], temperature=5.0)["words"].to_pylist() == drawn[0][:1]  # whatever else is written
    kept = spelling.predict(rows, regex="(nine|eight) .{2}")["words"].to_pylist()
    assert all(re.fullmatch("(nine|eight) .{2}", text) for text in kept)
    ended = spelling.predict(rows, stop=" ")["words"].to_pylist()
    assert ended == [text.split(" ")[0] for text in likeliest]
    assert spelling.predict(rows, beams=3)["words"].to_pylist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temprature": 1.0}, "temprature is no option of this run, which makes words"),
        ({"guidance": 2.0}, "guidance is no option"),
        ({"temperature": -1.0}, "temperature: expected from 0 to 100"),
        ({"beams": 0}, "beams: expected a whole number"),
    ],
)
def test_an_option_that_is_none_is_refused(spelling: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RunError, match=said):
        spelling.predict([{"digits": "1"}], **options)


def test_a_language_model_goes_on_with_each_row(language: Any, tmp_path: Path, capsys: Any) -> None:
    beginnings = ["one ", "two "]
    table = language.predict([{"words": b} for b in beginnings], temperature=0.0, max_tokens=8)
    assert table["words"].to_pylist() == language.write(beginnings, temperature=0.0, max_tokens=8)
    (tmp_path / "b.csv").write_text("words\none \n")
    assert (
        main(["predict", str(language.path), str(tmp_path / "b.csv"), "--temperature", "0", "--max-tokens", "8"]) == 0
    )
    assert table["words"][0].as_py() in capsys.readouterr().out
    (tmp_path / "c.csv").write_text("other\none\n")
    assert main(["predict", str(language.path), str(tmp_path / "c.csv")]) == 2
    assert "has no column 'words'" in capsys.readouterr().err
