"""Sounds that are made, the whole way: trained on tones, said again, judged, written, shown."""

from __future__ import annotations

import base64
import io
import json
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dapeng import api
from dapeng.columns.sounding import wav
from dapeng.core.errors import RunError, SpecError
from dapeng.core.kinds import columns
from dapeng.metrics.base import value_of
from dapeng.metrics.sounds import MelDistortion, SecondsOff, SoundView, cepstra, distortion, heard_errors

RATE = 4000
NOTES = {"a": 300.0, "b": 700.0, "c": 1400.0}


def tones(text: str, draw: np.random.Generator) -> np.ndarray:
    """A tone of 0.06 to 0.1 seconds for each letter."""
    parts = []
    for letter in text:
        time = np.arange(int(RATE * draw.uniform(0.06, 0.1))) / RATE
        parts.append(8000 * np.sin(2 * np.pi * NOTES[letter] * time + draw.uniform(0, 6)))
    return np.concatenate(parts).astype(np.int16)


def frame(rows: int) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(list(NOTES), draw.integers(1, 4))) for _ in range(rows)]
    return pd.DataFrame({"text": texts, "clip": [wav(tones(t, draw), RATE) for t in texts]})


SPEECH = {
    "inputs": {
        "text": {
            "type": "text",
            "tokeniser": "characters",
            "encoder": {"type": "transformer", "embed_dim": 16, "num_layers": 1, "num_heads": 2},
        }
    },
    "outputs": {
        "clip": {
            "type": "audio",
            "decoder": {"type": "speech", "embed_dim": 48, "dilations": [1, 2, 4], "bands": 32, "dropout": 0.0},
        }
    },
}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("spoken")
    frame(120).to_parquet(folder / "tones.parquet")
    train = {"epochs": 25, "batch_size": 16, "learning_rate": 6e-3, "threads": 1}
    spec = {"data": str(folder / "tones.parquet"), **SPEECH, "model": "network", "train": train}
    return api.train(spec, runs=folder / "runs")


def loudest(samples: np.ndarray) -> float:
    """Hertz of the strongest tone."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4096))
    return float(power.argmax() * RATE / 4096)


def samples_of(content: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_letters_come_in_their_order_and_at_their_pitch(spoken: Any) -> None:
    said = spoken.predict(pd.DataFrame({"text": ["a", "b", "cab"]}))["clip"].to_pylist()
    for content, letter in zip(said, "ab"):
        assert loudest(samples_of(content)) == pytest.approx(NOTES[letter], rel=0.12)
        assert 0.05 < len(samples_of(content)) / RATE < 0.13
    whole = samples_of(said[2])
    thirds = [whole[int(a * len(whole)) : int(b * len(whole))] for a, b in ((0.05, 0.28), (0.38, 0.62), (0.72, 0.95))]
    assert [loudest(t) for t in thirds] == pytest.approx([NOTES[x] for x in "cab"], rel=0.12)


def test_the_verdict_is_of_the_spectrum_and_the_length(spoken: Any) -> None:
    figures = {n: m["value"] for n, m in spoken.metrics["outputs"]["clip"]["metrics"].items()}
    assert figures["mel_distortion"] < 4.0
    assert figures["seconds_off"] < 0.06
    assert spoken.metrics["headline"]["metric"] == "mel_distortion"


def test_the_verdict_says_how_long_a_second_of_sound_takes(spoken: Any) -> None:
    pace = spoken.metrics["outputs"]["clip"]["pace"]
    assert pace["of"] == "made"
    assert pace["threads"] == 1
    assert pace["real_time_factor"] == pytest.approx(pace["seconds"] / pace["sound"])
    assert 0.05 < pace["sound"] / pace["rows"] < 0.4, "seconds of a sound of one to three letters"
    assert f"Real-time factor {pace['real_time_factor']:.2g}:" in spoken.metrics["verdict"]
    assert "one row at a time on 1 thread." in spoken.metrics["verdict"]


def test_the_report_has_players_that_need_nothing_else(spoken: Any) -> None:
    page = (Path(spoken.path) / "report.html").read_text("utf-8")
    assert "s for a second that is made (1 thread)" in page
    assert page.count("<audio") == 12
    assert "media-src data:" in page
    assert page.count('src="data:audio/wav;base64,UklGR') == 12


def test_what_is_made_can_be_read_again(spoken: Any) -> None:
    found = spoken.predict(pd.DataFrame({"text": ["ab", "ab"]}))
    first, again = found["clip"].to_pylist()
    assert first == again
    column = columns.members()["audio"].model_validate({"type": "audio"})
    assert column.guess(pa.array(found["clip"].to_pylist()), False)[0] > 0.9


def test_the_command_line_writes_wav_files_beside_its_table(spoken: Any, tmp_path: Path) -> None:
    from dapeng.cli.results import write_table

    write_table(spoken.predict(pd.DataFrame({"text": ["ab", "c"]})), str(tmp_path / "said.csv"), "csv")
    lines = (tmp_path / "said.csv").read_text("utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["clip", "said-clip/000001.wav", "said-clip/000002.wav"]
    assert len(samples_of((tmp_path / "said-clip" / "000001.wav").read_bytes())) > 200
    assert "mel cepstral distortion (dB)" in spoken.metrics["verdict"]


def test_explaining_is_refused_in_words(spoken: Any) -> None:
    with pytest.raises(RunError, match="a sound that is made: explaining such is not there yet"):
        spoken.explain()


WAVENET = {"type": "wavenet", "channels": 8, "skip": 8, "cycles": 1, "depth": 4}
GAN = {"type": "gan", "channels": 16, "width": 2, "periods": [2, 3], "scales": 1, "piece": 0.1}
MAKERS = {
    "wavenet": WAVENET,
    "bands and a wavenet": {"type": "speech", "embed_dim": 16, "vocoder": WAVENET},
    "bands and two players": {"type": "speech", "embed_dim": 16, "vocoder": GAN},
}


@pytest.mark.parametrize("maker", sorted(MAKERS))
def test_what_makes_samples_is_trained_and_makes_the_same_sound_again(tmp_path: Path, maker: str) -> None:
    frame(60).to_parquet(tmp_path / "tones.parquet")
    decoder = MAKERS[maker]
    spec = {
        "data": str(tmp_path / "tones.parquet"),
        "inputs": SPEECH["inputs"],
        "outputs": {"clip": {"type": "audio", "decoder": decoder}},
        "model": "network",
        "train": {"steps": 12, "batch_size": 8, "threads": 1},
        "evaluate": {"resamples": 0},
    }
    run = api.train(spec, runs=tmp_path / "runs")
    asked = pd.DataFrame({"text": ["abc", "b", "abc"]})
    first, again = run.predict(asked)["clip"].to_pylist(), run.predict(asked[::-1])["clip"].to_pylist()[::-1]
    assert first[0] == first[2] == again[0]
    assert first[1] == again[1]


def test_a_sound_without_any_input(tmp_path: Path) -> None:
    frame(40).to_parquet(tmp_path / "tones.parquet")
    spec = {
        "data": str(tmp_path / "tones.parquet"),
        "inputs": {},
        "outputs": {"clip": {"type": "audio", "decoder": WAVENET}},
        "model": "network",
        "train": {"steps": 5, "batch_size": 8, "threads": 1},
        "evaluate": {"resamples": 0},
    }
    run = api.train(spec, runs=tmp_path / "runs")
    assert run.metrics["outputs"]["clip"]["metrics"]["seconds_off"]["value"] < 0.2
    assert json.loads((Path(run.path) / "metrics.json").read_text("utf-8"))["rows"] > 0


def test_the_distortion_is_that_of_the_best_way_of_all() -> None:
    draw = np.random.default_rng(1)
    said, wanted = draw.standard_normal((4, 3)), draw.standard_normal((5, 3))
    apart = np.sqrt(((said[:, None] - wanted[None]) ** 2).sum(2))

    def ways(i: int, j: int, total: float, steps: int) -> list[tuple[float, int]]:
        total, steps = total + apart[i, j], steps + 1
        if (i, j) == (3, 4):
            return [(total, steps)]
        return [
            way
            for a, b in ((i + 1, j), (i, j + 1), (i + 1, j + 1))
            if a < 4 and b < 5
            for way in ways(a, b, total, steps)
        ]

    total, steps = min(ways(0, 0, 0.0, 0))
    assert distortion(said, wanted) == pytest.approx(10 * np.sqrt(2) / np.log(10) * total / steps)


def test_a_sound_is_nearer_to_itself_than_to_another() -> None:
    draw = np.random.default_rng(0)
    a, slow, other = tones("ab", draw), tones("ab", draw), tones("cc", draw)
    assert distortion(cepstra(a, RATE), cepstra(a, RATE)) == 0.0
    assert distortion(cepstra(a, RATE), cepstra(slow, RATE)) < distortion(cepstra(a, RATE), cepstra(other, RATE)) / 2
    view = SoundView([a, other], [slow, a], RATE, True)
    assert value_of(SecondsOff(), view) == pytest.approx(
        (abs(len(a) - len(slow)) + abs(len(other) - len(a))) / 2 / RATE
    )
    assert np.isfinite(value_of(MelDistortion(), view))


def letters(rows: int) -> pd.DataFrame:
    draw = np.random.default_rng(4)
    texts = [list(NOTES)[i % 3] for i in range(rows)]
    return pd.DataFrame({"text": texts, "clip": [wav(tones(t, draw), RATE) for t in texts]})


def test_a_judge_hears_what_was_asked_and_goes_with_the_run(tmp_path: Path) -> None:
    letters(90).to_parquet(tmp_path / "letters.parquet")
    common = {"data": str(tmp_path / "letters.parquet"), "evaluate": {"resamples": 20, "baselines": []}}
    ears = api.train(
        {"name": "ears", **common, "inputs": {"clip": "audio"}, "outputs": {"text": "category"}, "model": "linear"},
        runs=tmp_path / "ears",
    )
    clip = {
        "type": "audio",
        "judge": str(ears.path),
        "decoder": {**SPEECH["outputs"]["clip"]["decoder"], "embed_dim": 8},
    }
    spec = {
        **common,
        "inputs": SPEECH["inputs"],
        "outputs": {"clip": clip},
        "model": "network",
        "train": {"steps": 10, "batch_size": 8, "threads": 1},
    }
    run = api.train(spec, runs=tmp_path / "runs")
    found = run.metrics["outputs"]["clip"]
    assert run.metrics["headline"]["metric"] == "understood"
    assert found["recognised"]["real"] == 1.0
    assert "pace" not in ears.metrics["outputs"]["text"], "no network listens there"
    assert found["recognised"]["made"] == found["metrics"]["understood"]["value"]
    assert "ears hears what was asked in" in run.metrics["verdict"]
    shutil.rmtree(tmp_path / "ears")
    again = api.load(shutil.move(str(run.path), tmp_path / "moved")).evaluate(str(tmp_path / "letters.parquet"))
    assert again["outputs"]["clip"]["recognised"]["real"] == 1.0


def test_a_judge_must_hear_one_sound(tmp_path: Path) -> None:
    letters(30).to_parquet(tmp_path / "letters.parquet")
    common = {"data": str(tmp_path / "letters.parquet"), "evaluate": {"resamples": 0, "baselines": []}}
    deaf = api.train(
        {**common, "inputs": {"text": "category"}, "outputs": {"text2": "category"}, "model": "linear"}
        | {"data": str(_twice(tmp_path))},
        runs=tmp_path / "deaf",
    )
    clip = {"type": "audio", "judge": str(deaf.path)}
    with pytest.raises(SpecError, match=r"outputs\.clip\.judge: .* it must hear one sound alone"):
        api.train({**common, "inputs": SPEECH["inputs"], "outputs": {"clip": clip}}, runs=tmp_path / "runs")


def _twice(folder: Path) -> Path:
    frame = letters(40)[["text"]]
    frame.assign(text2=frame["text"]).to_csv(folder / "twice.csv", index=False)
    return folder / "twice.csv"


def test_words_that_are_misheard_are_counted() -> None:
    asked, heard = ["One two three.", "four", ""], ["one too", "four", "five"]
    assert heard_errors(asked, heard).tolist() == [[2.0, 3.0], [0.0, 1.0], [1.0, 0.0]]


def test_a_server_answers_with_a_wav_file_and_its_page_with_a_player(spoken: Any) -> None:
    from dapeng.serve import protocol
    from dapeng.serve.engine import Engine
    from dapeng.serve.page import Page

    engine = Engine(spoken.product, "spoken")
    answers = engine.answers(engine.check([{"text": "ab"}]).rows)
    content = base64.b64decode(answers[0]["clip"]["value"])
    assert content == spoken.predict(pd.DataFrame({"text": ["ab"]}))["clip"].to_pylist()[0]
    (sent,) = protocol.answer(engine, answers, None)["outputs"]
    assert sent["datatype"] == "BYTES"
    page = Page(engine, ["spoken"])
    assert '"kinds": {"clip": "sound"}' in page.html(False).decode()
    assert any(b"media-src data:" in value for _, value in page.headers(False))
