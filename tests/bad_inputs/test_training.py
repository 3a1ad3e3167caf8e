"""Bad tables, texts and checkpoints go through `dapeng.train` and a trained product, and end as BAD_INPUTS.md says."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from make import MAKERS, make  # type: ignore[import-not-found]
from safetensors.torch import load_file, save_file

import dapeng
from dapeng.core.errors import DapengError, DataError, RunError, TrainingError
from dapeng.data.table import Frame

FAST: dict[str, Any] = {
    "model": "network",
    "train": {"epochs": 2, "threads": 1},
    "evaluate": {"baselines": [], "resamples": 0},
}
RANDOM = {"by": "random"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    wanted = [i for i in MAKERS if i[0] in "TX" and i not in ("T39", "X02", "T12")]
    return make(tmp_path_factory.mktemp("bad"), wanted)


@pytest.fixture
def train(paths: dict[str, Path], tmp_path: Path) -> Any:
    def go(identity: str | Path, inputs: Any = None, output: Any = "category", **data: Any) -> Any:
        path = identity if isinstance(identity, Path) else paths[identity]
        more = {"inputs": inputs} if inputs else {}
        settings = {"path": str(path), "split": RANDOM, **data}
        return dapeng.train(
            str(path), outputs={"y": output} if inputs else "y", data=settings, runs=tmp_path, **FAST, **more
        )

    return go


def test_the_function_train_can_be_called_again_though_a_package_has_its_name(train: Any) -> None:
    import dapeng.train.loop

    assert callable(dapeng.train)
    assert dapeng.train.loop.fit
    assert train("T03").path.is_dir()
    assert train("T03").path.is_dir()


def test_t20_money_percent_and_brackets_become_the_numbers_that_they_mean(train: Any) -> None:
    column = train("T20", {"amount": "number", "share": "number", "change": "number"}).product.inputs
    assert column["amount"].state["low"] >= 234.5
    assert column["amount"].state["high"] <= 39234.5
    assert 0 <= column["share"].state["high"] <= 0.39
    assert column["change"].state["low"] < 0
    assert [c.state["missing"] for c in column.values()] == [0, 0, 0]


def test_t21_infinite_targets_stop_past_max_bad_and_are_left_out_by_row_below_it(
    train: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match=r"3 of 64 cells can't be read as number: T21\.csv:62: inf is not a finite"):
        train("T21", {"x": "number"}, "number")
    product = train("T21", {"x": "number"}, "number", max_bad=0.1).product
    assert "3 rows are left out because a cell can't be read: T21.csv:62 (y)" in capsys.readouterr().err
    assert product.outputs["y"].state["high"] < 100


@pytest.mark.parametrize(
    ("identity", "words"), [("T22", "only class 'a' occurs"), ("T23", "every cell of the target is missing")]
)
def test_a_target_that_teaches_nothing_is_refused(train: Any, identity: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        train(identity, {"x": "number"})


def test_t24_a_class_with_one_row_trains_and_is_named(train: Any, capsys: pytest.CaptureFixture[str]) -> None:
    product = train("T24", {"x": "number"}, split={"by": "stratified"}).product
    assert "alone" in product.outputs["y"].labels
    assert "alone" in capsys.readouterr().err


def test_t25_labels_that_training_has_not_seen_are_read_as_unknown_counted_and_said(train: Any) -> None:
    run = train("T41", {"country": "category", "name": "category"})
    rows = pa.table({"country": ["DE", "FR", "FR", "IT"], "name": ["None", "null", "Ann", "None"]})
    answer = run.product.predict(Frame(rows))
    assert len(answer.rows) == 4
    said = {n.where: (n.count, n.what) for n in answer.notes}
    assert said["country"][0] == 3
    assert said["country"][1] == "3 cells hold 2 labels not seen in training, read as unknown: 'FR', 'IT'"
    assert "'Ann'" in said["name"][1]
    unknown = [run.product.predict(Frame(rows.slice(i, 1))).tensors["y"]["probabilities"] for i in (1, 2)]
    assert np.isfinite(unknown).all()


def test_t26_words_for_missing_are_missing_and_a_word_is_quarantined(train: Any) -> None:
    column = train("T26", {"x": "number"}).product
    assert column.inputs["x"].state["count"] + column.inputs["x"].state["missing"] == 162
    answer = column.predict(Frame(pa.table({"x": ["1.5", "heavy", "n/a"]})))
    assert answer.left_out == [(1, "x", "'heavy' is not a number")]
    assert answer.rows.tolist() == [0, 2]


def test_t27_long_integers_are_never_floats(paths: dict[str, Path]) -> None:
    from dapeng.columns.category import Category
    from dapeng.core.spec import Data
    from dapeng.data.open import open_data

    cells = open_data(Data(path=str(paths["T27"]))).whole().read(["key"]).column("key")
    summary = Category().summary(False)
    summary.add(cells)
    labels = summary.result()["labels"]
    assert len(labels) == len(set(cells.to_pylist()))
    assert "900719925474099300" in labels
    assert not any("e+" in v or "." in v for v in labels)


def test_t28_dates_are_read_by_the_dominant_format_and_the_rest_is_left_out_by_line(
    train: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        DataError, match=r"1 of 42 cells can't be read as date: T28\.csv:43: '03/04/2026' is not written"
    ):
        train("T28", {"when": "date"})
    product = train("T28", {"when": "date"}, max_bad=0.1).product
    said = capsys.readouterr().err
    assert "1 rows are left out because a cell can't be read: T28.csv:43 (when)" in said
    assert product.inputs["when"].state["missing"] == 1, "0000-00-00 is no date"
    answer = product.predict(Frame(pa.table({"when": ["2026-01-02 03:04:05", "03/04/2026", "0000-00-00"]})))
    assert answer.rows.tolist() == [0, 2]


def test_t28_days_and_months_that_could_be_each_other_are_said(train: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the second run in a process says it too
        train("T28b", {"when": "date"})
        assert capsys.readouterr().err.count("when: no cell tells day and month apart: read as month/day/year") == 1
    train("T28b", {"when": {"type": "date", "order": "dmy"}})
    assert "day and month" not in capsys.readouterr().err


def test_t42_vectors_of_another_length_and_words_are_left_out_by_line(
    train: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    product = train("T42", {"v": "vector"}, max_bad=0.1).product
    said = capsys.readouterr().err
    assert "3 rows are left out" in said
    assert "T42.csv:202 (v): 2 numbers, where 3 are expected" in said
    assert product.inputs["v"].size == 3
    assert np.isfinite(product.predict(Frame(pa.table({"v": ["1 2 3", None]}))).tensors["y"]["probabilities"]).all()


def test_t43_sets_with_half_a_list_and_bare_separators_train(train: Any) -> None:
    column = train("T43", {"s": "set"}).product.inputs["s"]
    assert column.state["separator"] == "|"
    assert set(column.labels) <= {"red", "blue", "7", "[red"}
    assert column.state["missing"] in (0, 1), "the empty cell, where it trains"


def test_t29_composed_and_decomposed_letters_are_one_label_and_the_merge_is_counted(
    train: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    column = train("T29", {"x": "category"}).product.inputs["x"]
    assert column.labels == ["caf\u00e9", "tea"] or sorted(column.labels) == ["caf\u00e9", "tea"]
    assert column.state["merged"] == 1
    assert "warning: x: 1 spellings differ only" in capsys.readouterr().err


def test_t30_blanks_and_invisible_letters_are_one_label_and_lookalikes_only_warn(
    train: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    column = train("T30", {"x": "category"}).product.inputs["x"]
    assert sorted(column.labels) == ["open", "shut", "\u043epen"]
    assert column.state["merged"] == 2
    said = capsys.readouterr().err
    assert "lookalike: x" in said
    codes = column.encode(pa.array(["open", " open", "o\u200bpen", "\u043epen"])).tensors["codes"]
    assert len(set(codes[:3].tolist())) == 1
    assert codes[3] != codes[0]


def test_t32_a_copy_of_the_target_is_called_a_leak_before_training(
    train: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    train("T32", {"copy": "category", "x": "number"})
    said = capsys.readouterr().err
    assert "leak: copy: almost determines y" in said
    assert "leak: x" not in said


def test_t41_words_that_look_missing_are_labels_unless_they_are_named(train: Any) -> None:
    labels = train("T41", {"country": "category", "name": "category"}).product.inputs
    assert sorted(labels["country"].labels) == ["DE", "NA"]
    assert sorted(labels["name"].labels) == ["None", "null"]
    named = train("T41", {"country": {"type": "category", "missing": ["NA"]}}).product.inputs["country"]
    assert named.labels == ["DE"]
    assert named.state["missing"] > 0


# ---- texts


@pytest.mark.parametrize("tokeniser", ["words", "characters", "ngrams", "bpe"])
def test_x03_special_tokens_in_a_text_are_text(tokeniser: str) -> None:
    from dapeng.columns.text import Text

    cells = pa.array(["<pad> <unk> <bos> <eos> <|im_end|> [CLS] </s>"] * 3 + ["plain words"] * 3)
    summary = Text(tokeniser=tokeniser, min_count=1, vocab_size=400).summary(False)
    summary.add(cells)
    column = Text(tokeniser=tokeniser, min_count=1, vocab_size=400).fitted("t", summary.result(), False)
    assert not set(column.encode(cells).tensors["ids"].tolist()) & {0, 2, 3}
    if tokeniser != "bpe":
        assert 1 not in column.encode(cells).tensors["ids"], "<unk> was read as the unknown token"


def test_x02_a_long_text_is_cut_at_max_length_and_counted() -> None:
    from dapeng.columns.text import Text

    cells = pa.array(["short one"] * 98 + ["word " * 150_000] * 2)
    options = Text(tokeniser="words", max_length=50)
    summary = options.summary(False)
    began = time.process_time()
    summary.add(cells)
    column = options.fitted("t", summary.result(), False)
    assert column.encode(cells).lengths.max() == 50
    assert time.process_time() - began < 2
    assert column.state["cut"] == 2
    assert "2 texts cut" in column.describe()


@pytest.mark.parametrize("encoder", ["bag", "text_cnn", "transformer"])
@pytest.mark.parametrize("seen", [True, False])
def test_x04_empty_texts_give_finite_answers_whether_or_not_training_had_some(
    train: Any, tmp_path: Path, encoder: str, seen: bool
) -> None:
    path = tmp_path / "texts.csv"
    lines = [f"word {i} here,{'ab'[i % 2]}" for i in range(60)] + ([",a", '"   ",b', "\u3000,a"] * 4 if seen else [])
    path.write_text("text,y\n" + "\n".join(lines) + "\n", encoding="utf-8")
    product = train(path, {"text": {"type": "text", "encoder": encoder}}).product
    answer = product.predict(Frame(pa.table({"text": ["word 1 here", "", "   ", "\u3000", None, "\u200b"]})))
    assert answer.rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.isfinite(answer.tensors["y"]["probabilities"]).all()


@pytest.mark.parametrize("tokeniser", ["words", "characters", "ngrams", "bpe"])
def test_x01_bytes_that_are_not_utf8_and_half_a_surrogate_pair_are_mended(tokeniser: str) -> None:
    from dapeng.columns.text import Text
    from dapeng.columns.tokenisers import clean

    assert clean("half \ud800 pair", True) == "half ? pair" or clean("half \ud800 pair", True) == "half \ufffd pair"
    options = Text(tokeniser=tokeniser, min_count=1)
    summary = options.summary(False)
    cells = pa.array([b"well \xff\xfe done", b"fine"], pa.binary())
    summary.add(cells)
    assert options.fitted("t", summary.result(), False).encode(cells).lengths.min() > 0


# ---- checkpoints and weights


@pytest.fixture(scope="module")
def run(paths: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    data = {"path": str(paths["T41"]), "split": RANDOM}
    return dapeng.train(str(paths["T41"]), outputs="y", data=data, runs=folder, **FAST).path


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(run, tmp_path / "copy"))


def resealed(run: Path) -> Path:
    """The manifest written anew, as if the change had been meant."""
    from dapeng.core.run import RunFolder

    RunFolder(run).manifest()
    return run


def test_c02_a_flipped_bit_of_the_weights_is_refused(copy: Path) -> None:
    file = copy / "weights.safetensors"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(RunError, match=r"weights\.safetensors is damaged or was changed"):
        _ = dapeng.load(copy).product


def test_c03_weights_that_are_cut_off_are_refused_even_where_the_manifest_agrees(copy: Path) -> None:
    file = copy / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RunError, match="cut off"):
        _ = dapeng.load(copy).product
    with pytest.raises(RunError, match="damaged"):
        _ = dapeng.load(resealed(copy)).product


def test_c04_weights_of_another_network_are_told_in_three_lines(copy: Path) -> None:
    file = copy / "weights.safetensors"
    tensors = load_file(file)
    first, second, *_ = sorted(n for n, t in tensors.items() if t.dim() == 2)
    wrong = {n: t for n, t in tensors.items() if n != first}
    wrong[second] = torch.zeros(3, 5)
    wrong["other.weight"] = torch.zeros(2)
    save_file(wrong, file)
    with pytest.raises(RunError) as caught:
        _ = dapeng.load(resealed(copy)).product
    assert len(caught.value.problems) == 3
    text = str(caught.value)
    assert "these weights belong to another network" in text
    assert f"lacks 1 tensors, such as {first}" in text
    assert "has 1 tensors that the network lacks, such as other.weight" in text
    assert f"{second}: (3, 5), expected" in text


def test_c05_weights_that_are_not_finite_are_refused_at_save_load_and_export(copy: Path, tmp_path: Path) -> None:
    from dapeng.train import weights

    with pytest.raises(TrainingError, match=r"weights are not finite: a\.b"):
        weights.save({"a.b": torch.tensor([1.0, float("nan")])}, tmp_path / "w.safetensors")
    assert not list(tmp_path.glob("*.safetensors"))
    file = copy / "weights.safetensors"
    tensors = load_file(file)
    name = next(n for n, t in tensors.items() if t.is_floating_point())
    tensors[name] = torch.full_like(tensors[name], float("inf"))
    save_file(tensors, file)
    resealed(copy)
    with pytest.raises(RunError, match="not finite"):
        _ = dapeng.load(copy).product
    with pytest.raises(DapengError, match="not finite"):
        dapeng.load(copy).export("torch", tmp_path / "out")


def test_c06_a_header_that_claims_a_terabyte_is_refused_at_once(copy: Path) -> None:
    (copy / "weights.safetensors").write_bytes(struct.pack("<Q", 2**40) + b"{}")
    began = time.process_time()
    with pytest.raises(RunError, match="damaged"):
        _ = dapeng.load(resealed(copy)).product
    assert time.process_time() - began < 2


def test_c01_a_pickle_in_the_place_of_weights_is_not_executed(copy: Path, tmp_path: Path) -> None:
    import pickle

    class Gadget:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "executed"),)

    (copy / "weights.safetensors").write_bytes(pickle.dumps(Gadget()))
    (copy / "product.json").write_text((copy / "product.json").read_text())
    with pytest.raises(DapengError):
        _ = dapeng.load(resealed(copy)).product
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_of_another_network_is_refused_when_resuming(tmp_path: Path) -> None:
    from dapeng.train import weights

    network = torch.nn.Linear(3, 2)
    with pytest.raises(RunError, match="differ in shape, such as"):
        weights.apply(network, {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, str(tmp_path))


# ---- the same through the command line


@pytest.mark.parametrize("identity", ["T21", "X02"])
def test_the_command_line_ends_with_2_a_hint_or_reason_and_no_traceback(identity: str, tmp_path: Path) -> None:
    path = make(tmp_path, [identity])[identity]
    kind = "number" if identity == "T21" else "category"
    spec = {"data": {"path": str(path), "split": RANDOM}, "inputs": {"x": "number"}, "outputs": {"y": kind}}
    (tmp_path / "s.yaml").write_text(json.dumps(spec))
    words = [sys.executable, "-m", "dapeng", "train", str(tmp_path / "s.yaml"), "--runs", str(tmp_path / "runs")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    assert done.stdout == ""
    assert "error: " in done.stderr
