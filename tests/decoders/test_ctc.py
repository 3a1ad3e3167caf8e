"""Texts from sounds the whole way: learnt, judged by word and letter, searched with n-grams, served, timed, and left as files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import dapeng
from dapeng import api
from dapeng.core.errors import DapengError

RATE = 8_000
TONES = {"a": 400, "b": 1000, "c": 2200}
PAUSE = 0.1


def sung(text: str, seed: int) -> bytes:
    """A WAV of 0.1 s of one tone for each letter, 0.1 s of silence for a blank, with gaps."""
    draw = np.random.default_rng(seed)
    parts = [np.zeros(400)]
    time = np.arange(800) / RATE
    for letter in text:
        parts += [0.3 * np.sin(2 * np.pi * TONES.get(letter, 0) * time), np.zeros(400)]
    x = np.concatenate(parts)
    file = io.BytesIO()
    soundfile.write(file, x + draw.normal(0, 0.002, len(x)), RATE, format="WAV")
    return file.getvalue()


def texts(count: int, seed: int) -> list[str]:
    """Words of a few tones; "ab" and "ca" are usual, others are not."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(["ab", "ca", "cab"], int(draw.integers(1, 4)))) for _ in range(count)]


def cells(count: int, seed: int = 0) -> list[dict[str, Any]]:
    return [{"clip": sung(t, 1000 * seed + i), "said": t} for i, t in enumerate(texts(count, seed))]


def spec_of(data: str, **decoder: Any) -> dict[str, Any]:
    encoder = {"type": "deepspeech2", "channels": 4, "hidden": 32, "num_layers": 1, "stride": 4, "dropout": 0.0}
    return {
        "data": data,
        "inputs": {"clip": {"type": "audio", "augment": ["silence"], "encoder": encoder}},
        "outputs": {"said": {"type": "text", "decoder": {"type": "ctc", **decoder}}},
        "model": "network",
        "train": {"epochs": 15, "batch_size": 8, "learning_rate": 1e-2, "threads": 1, "precision": "fp32", "time_limit": "10m"},
        "evaluate": {"resamples": 50},
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("ctc")
    pq.write_table(pa.Table.from_pylist(cells(300)), folder / "tones.parquet")
    return api.train(spec_of(str(folder / "tones.parquet"), beams=8, order=3), runs=folder / "runs")


def test_it_learns_and_is_judged_by_words_and_letters_with_their_parts(run: Any) -> None:
    found = run.metrics["outputs"]["said"]
    assert found["headline"] == "wer"
    assert found["metrics"]["wer"]["value"] < 0.1
    assert found["metrics"]["cer"]["value"] <= found["metrics"]["wer"]["value"]
    parts = [found["metrics"][f"word_{p}"]["value"] for p in ("substitutions", "deletions", "insertions")]
    assert sum(parts) == pytest.approx(found["metrics"]["wer"]["value"])
    assert found["edits"]["words"]["true"] > 30
    assert "word error rate" in found["words"].lower()


def test_what_is_written_hangs_on_the_sound_alone_and_survives_loading(run: Any) -> None:
    rows = [{"clip": c["clip"]} for c in cells(12, seed=1)]
    together = run.predict(rows)["said"].to_pylist()
    assert [run.predict([r])["said"][0].as_py() for r in rows] == together
    again = dapeng.load(run.path)
    assert again.predict(rows)["said"].to_pylist() == together
    decoder: Any = again.product.model.decoders["said"]
    assert len(decoder.get_buffer("keys_2")) > 3
    assert np.mean([a == b for a, b in zip(together, texts(12, 1))]) > 0.7


def test_words_have_the_times_at_which_they_are_heard(run: Any) -> None:
    found = json.loads(run.predict([{"clip": sung("ab ca", 7)}])["said.times"][0].as_py())
    assert [w for w, _, _ in found] == ["ab", "ca"]
    for (_, begin, end), wanted in zip(found, (0.05, 0.5)):  # 0.05 s of silence, then 0.15 s a letter
        assert begin == pytest.approx(wanted, abs=0.13)
        assert begin < end <= begin + 0.45


def test_silence_is_no_text_and_a_missing_sound_neither(run: Any) -> None:
    quiet = io.BytesIO()
    soundfile.write(quiet, np.random.default_rng(0).normal(0, 0.002, 6000), RATE, format="WAV")
    nothing = io.BytesIO()
    soundfile.write(nothing, np.zeros(6000), RATE, format="WAV")
    found = run.predict([{"clip": quiet.getvalue()}, {"clip": nothing.getvalue()}])
    assert found["said"].to_pylist() == ["", ""]
    assert found["said.times"].to_pylist() == ["[]", "[]"]


def test_a_search_is_no_file_and_is_refused_in_words(run: Any, tmp_path: Path) -> None:
    with pytest.raises(DapengError, match="said is a text that is written: exporting such is not there yet"):
        run.export("onnx", tmp_path / "out")


def test_the_report_shows_what_was_written(run: Any) -> None:
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Word error rate" in report
    assert "What was written" in report


@pytest.fixture(scope="module")
def greedy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("greedy")
    pq.write_table(pa.Table.from_pylist(cells(80)), folder / "tones.parquet")
    spec = spec_of(str(folder / "tones.parquet"))
    spec["train"]["epochs"] = 4
    return api.train(spec, runs=folder / "runs")


@pytest.mark.parametrize("format", ["torch", "onnx"])
def test_what_leaves_as_a_file_writes_the_same(greedy: Any, format: str, tmp_path: Path) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime", reason="exports by the extra `export`")
        pytest.importorskip("onnxscript", reason="exports by the extra `export`")
    facts = greedy.export(format, tmp_path / "out")
    assert facts["largest_difference"] < 1e-3


def test_a_server_takes_bytes_in_base64_and_no_path(greedy: Any) -> None:
    import base64

    from dapeng.serve.cells import Unfit, reader_for

    reader: Any = reader_for(greedy.product.inputs["clip"])
    clip = sung("ab", 3)
    checked = reader.check(base64.b64encode(clip).decode(), [])
    assert checked == clip
    assert reader.alone([checked])["samples"].shape[0] == 1
    for bad in ("/etc/passwd", base64.b64encode(b"no sound at all").decode()):
        with pytest.raises(Unfit):
            reader.check(bad, [])


def test_two_inputs_are_refused_before_data_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{**c, "other": c["clip"]} for c in cells(20)]), tmp_path / "tones.parquet")
    spec = spec_of(str(tmp_path / "tones.parquet"))
    spec["inputs"]["other"] = {"type": "audio"}
    with pytest.raises(DapengError, match="ctc spells one input, frame by frame; here are 2"):
        api.train(spec, runs=tmp_path)
