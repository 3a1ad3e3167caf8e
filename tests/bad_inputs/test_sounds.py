"""Bad sounds end as BAD_INPUTS.md says: quarantined with the reason, or refused by a cap before anything is decoded."""

from __future__ import annotations

import io
import os
import resource
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from make import wav  # type: ignore[import-not-found]
from PIL import Image as Pillow

import dapeng
from dapeng.columns.audio import Audio
from dapeng.core.errors import DataError

RATE = 8_000


def tone(seconds: float = 0.2, rate: int = RATE) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


def header(rate: int = RATE, size: int = 0, claimed: int | None = None) -> bytes:
    """A 16-bit WAV of this many bytes of samples, of which the header may claim more."""
    claimed = size if claimed is None else claimed
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + claimed, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", claimed
    )
    return head + bytes(size)


def jpeg() -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (20, 20), (200, 30, 30)).save(file, "JPEG")
    return file.getvalue()


QUARANTINE = {
    "A01": (b"", "the file is empty"),
    "A02": (header(), "holds no samples"),
    "A04": (header(rate=0, size=400), "0 samples a second|not a sound"),
    "A06": (wav(np.where(np.arange(900) == 450, np.nan, 0.1), subtype="FLOAT"), "not every sample is a finite number"),
    "A07": (jpeg(), "not a sound that can be read"),
    "A08": (wav(tone())[:30], "not a sound that can be read"),
}
GOOD = pa.array([wav(tone())] * 4, pa.binary())


def column(**options: Any) -> Any:
    chosen = Audio(**options)
    summary = chosen.summary(False)
    summary.add(GOOD)
    return chosen.fitted("sound", summary.result(), False)


@pytest.mark.parametrize("identity", sorted(QUARANTINE))
def test_it_is_quarantined_with_its_reason_within_two_seconds_and_200_megabytes(identity: str, tmp_path: Path) -> None:
    content, reason = QUARANTINE[identity]
    made = column()
    made.encode(GOOD)
    (tmp_path / "a.wav").write_bytes(content)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    bad = made.encode(pa.array([str(tmp_path / "a.wav")])).bad
    assert time.process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    assert bad.rows == [0]
    assert any(part in bad.reasons[0] for part in reason.split("|")), bad.reasons
    summary = Audio().summary(False)
    summary.add(pa.array([content], pa.binary()))
    assert summary.result()["unreadable"] == 1


def test_a_sound_longer_than_the_cap_is_refused_by_its_header_before_it_is_decoded() -> None:
    hour = header(size=200, claimed=2 * RATE * 3600)
    made = column(max_seconds=1.0)
    began = time.process_time()
    bad = made.encode(pa.array([wav(tone(1.5)), hour], pa.binary())).bad
    assert time.process_time() - began < 1
    assert bad.rows[0] == 0
    assert "1.5 seconds are over the cap of 1 (max_seconds)" in bad.reasons[0]


def test_a_sound_that_ends_early_is_read_as_far_as_it_goes() -> None:
    whole = wav(tone(0.5))
    encoded = column().encode(pa.array([whole[: len(whole) // 2]], pa.binary()))
    assert not encoded.bad.rows
    assert 0 < encoded.lengths[0] < 4000


def test_a_missing_file_is_named() -> None:
    assert column().encode(pa.array(["gone.wav"])).bad.reasons == ["no such file: gone.wav"]


def test_quarantined_rows_are_told_and_too_many_stop_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(0)
    for label, pitch in (("high", 1500), ("low", 200)):
        (tmp_path / "sounds" / label).mkdir(parents=True)
        for number in range(40):
            time_ = np.arange(800) / RATE
            sound = 0.3 * np.sin(2 * np.pi * pitch * time_) + 0.05 * draw.normal(size=800)
            (tmp_path / "sounds" / label / f"{number}.wav").write_bytes(wav(sound))
    (tmp_path / "sounds" / "low" / "3.wav").write_bytes(b"")
    (tmp_path / "sounds" / "low" / "notes.txt").write_text("no sound")
    spec = {
        "data": {"path": str(tmp_path / "sounds"), "max_bad": 0.05},
        "outputs": {"label": "category"},
        "inputs": {"audio": {"type": "audio", "encoder": {"type": "spectrogram_cnn", "width": 4, "stages": 2}}},
        "train": {"epochs": 6, "threads": 1},
        "evaluate": {"resamples": 50, "baselines": ["linear"]},
    }
    run = dapeng.train(spec, runs=tmp_path / "runs")
    assert "3.wav (audio): the file is empty" in capsys.readouterr().err
    assert "1 of the cells that were looked at can" in (run.path / "report.html").read_text()
    assert run.predict([{"audio": str(tmp_path / "sounds" / "high" / "1.wav")}]).column("label").to_pylist() == ["high"]
    with pytest.raises(DataError, match="can't be read as audio"):
        dapeng.train({**spec, "data": str(tmp_path / "sounds")}, runs=tmp_path / "runs")


def test_what_it_is_read_as_does_not_hang_on_format_rate_and_channels() -> None:
    x = tone(0.5, 16_000)
    stereo = np.stack([x, x], 1)
    cells = [wav(x, 16_000), wav(stereo, 16_000), wav(x, 16_000, format="FLAC"), wav(x, 16_000, subtype="FLOAT")]
    others = [wav(x, 16_000, format="OGG"), wav(x, 16_000, format="MP3"), wav(tone(0.5, 44_100), 44_100)]
    made = column(rate=16_000)
    encoded = made.encode(pa.array([*cells, *others], pa.binary()))
    assert not encoded.bad.rows
    rows = np.split(encoded.tensors["samples"].astype(float), np.cumsum(encoded.lengths)[:-1])
    for row in rows[:4]:
        np.testing.assert_allclose(row, rows[0], atol=1)
    for row in rows[4:]:
        spectrum = [np.abs(np.fft.rfft(r[1000:7000])).argmax() * 16_000 / 6000 for r in (row, rows[0])]
        assert spectrum[0] == pytest.approx(spectrum[1], abs=5)
    state = Audio().summary(False)
    state.add(pa.array([*cells, *others[2:]], pa.binary()))
    assert state.result()["rate"] == 16_000
    assert state.result()["several"] == 1
    made = Audio().fitted("sound", state.result(), False)
    assert not made.remarks(), "nothing to be done about them"
    assert "1 training sounds have several channels: their mean is read" in made.handled()


def test_a_sound_beyond_full_scale_is_cut_and_told() -> None:
    loud = wav(5 * tone(), subtype="FLOAT")
    summary = Audio().summary(False)
    summary.add(pa.array([loud], pa.binary()))
    made = Audio().fitted("sound", summary.result(), False)
    assert "1 sounds go beyond full scale: cut there" in made.remarks()
    assert np.abs(made.encode(pa.array([loud], pa.binary())).tensors["samples"].astype(int)).max() >= 32767


@pytest.mark.skipif(os.name == "nt", reason="names of files")
def test_sounds_are_guessed_by_their_names_and_by_what_they_hold() -> None:
    from dapeng.data.infer import guess

    assert guess("clip", pa.chunked_array([[f"a/{i}.WAV" for i in range(30)]]), False).options == {"type": "audio"}
    assert guess("clip", pa.chunked_array([GOOD]), False).options == {"type": "audio"}
    assert guess("photo", pa.chunked_array([pa.array([jpeg()] * 4)]), False).options == {"type": "image"}
