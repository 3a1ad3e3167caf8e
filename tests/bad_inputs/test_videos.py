"""Bad videos are quarantined with their reason, or refused by a cap before anything is decoded; good ones are read whatever their file."""

from __future__ import annotations

import io
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import dapeng
from dapeng.columns.video import Video
from dapeng.columns.video_reader import VideoReader
from dapeng.core.errors import DataError

av = pytest.importorskip("av", reason="videos are read with PyAV: pip install 'dapeng[video]'")
from dapeng.samples.moving_digits import written  # noqa: E402 - it writes with PyAV


def frames(count: int = 16, side: int = 48) -> np.ndarray:
    """A bright bar that moves down."""
    out = np.zeros((count, side, side), np.uint8)
    for i in range(count):
        out[i, i * side // count : (i + 4) * side // count] = 200
    return out


def mp4() -> bytes:
    return written(frames(), "mp4", "mpeg4", "yuv420p")


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(frames()[0]).save(file, "PNG")
    return file.getvalue()


def sound_alone() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file.getvalue()


def still() -> bytes:
    file = io.BytesIO()
    Image.fromarray(frames()[0]).save(file, "GIF")
    return file.getvalue()


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"
BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"this is no video at all", "not a video that can be read"),
    "picture": (png(), "not a video that can be read"),
    "playlist that names other files": (PLAYLIST, "not a video that can be read"),
    "cut in the middle": (mp4()[: len(mp4()) // 3], "damaged|frames are no video"),
    "sound alone": (sound_alone(), "holds no pictures"),
    "one frame": (still(), "1 frames are no video"),
}


def column(**options: Any) -> Any:
    chosen = Video.model_validate({"type": "video", **options})
    summary = chosen.summary(False)
    summary.add(pa.array([mp4()] * 2, pa.binary()))
    return chosen.fitted("clip", summary.result(), False)


@pytest.mark.parametrize("name", sorted(BAD))
def test_it_is_quarantined_with_its_reason_within_two_seconds_and_200_megabytes(name: str, tmp_path: Path) -> None:
    content, reason = BAD[name]
    made = column()
    (tmp_path / "a.mp4").write_bytes(content)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for cell in (str(tmp_path / "a.mp4"), content):
        found = made.encode(pa.array([cell]))
        assert found.bad.rows == [0]
        assert any(part in found.bad.reasons[0] for part in reason.split("|")), found.bad.reasons
        assert found.present is not None
        assert not found.present.any()
    assert time.process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(
    ("options", "reason"), [({"max_pixels": 100}, "over the cap"), ({"max_seconds": 1.0}, "over the cap")]
)
def test_caps_hold_before_anything_is_decoded(options: dict[str, Any], reason: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(VideoReader.File, "at", lambda *_: pytest.fail("a frame was decoded"))
    with pytest.raises(ValueError, match=reason):
        Video.model_validate({"type": "video", **options}).reader(1, 16, 16).sampled(mp4())


@pytest.mark.parametrize(
    "form", [("mp4", "mpeg4", "yuv420p"), ("avi", "mjpeg", "yuvj420p"), ("gif", None, None), ("folder",)]
)
def test_every_kind_of_file_gives_the_frames_that_went_in(form: tuple[Any, ...], tmp_path: Path) -> None:
    wanted = frames()
    if form == ("folder",):
        for i, frame in enumerate(wanted):
            Image.fromarray(frame).save(tmp_path / f"frame{i}.png")  # 10 comes behind 9, not behind 1
        cell: Any = str(tmp_path)
    else:
        cell = written(wanted, *form)
    found = column(frames=16, clips=1).encode(pa.array([cell])).tensors["frames"][0, :, 0]
    assert np.abs(found.astype(int) - wanted).mean() < 6


def test_clips_that_are_spread_share_no_frame_and_cover_all() -> None:
    at = VideoReader(8, 2, "spread", 0.0, 1, 8, 8, "stretch", 60, 10_000).places(16, 25.0)
    np.testing.assert_array_equal(at, [*range(0, 16, 2), *range(1, 16, 2)])
    at = VideoReader(8, 1, "spread", 0.0, 1, 8, 8, "stretch", 60, 10_000).places(4, 25.0)
    np.testing.assert_array_equal(at, [0, 0, 1, 1, 2, 2, 3, 3])


def test_clips_of_consecutive_frames_go_by_the_clock() -> None:
    at = VideoReader(4, 2, "consecutive", 5.0, 1, 8, 8, "stretch", 60, 10_000).places(41, 10.0)
    np.testing.assert_array_equal(np.diff(at.reshape(2, 4), axis=1), 2)  # 5 a second out of 10
    assert at.min() >= 0
    assert at.max() <= 40


def test_quarantined_rows_are_told_controls_stated_and_too_many_stop_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    down = frames(8, 24)
    for label, order in (("down", 1), ("up", -1)):
        (tmp_path / "videos" / label).mkdir(parents=True)
        for number in range(24):
            moved = np.roll(down, number, 2)[::order]
            (tmp_path / "videos" / label / f"{number}.avi").write_bytes(written(moved, "avi", "mjpeg", "yuvj420p"))
    (tmp_path / "videos" / "up" / "3.avi").write_bytes(b"")
    spec = {
        "data": {"path": str(tmp_path / "videos"), "max_bad": 0.05, "split": {"by": "stratified"}},
        "outputs": {"label": "category"},
        "inputs": {
            "video": {
                "type": "video",
                "frames": 4,
                "augment": "none",
                "encoder": {"type": "r2plus1d", "width": 4, "stages": 1},
            }
        },
        "model": "network",
        "train": {"epochs": 4, "threads": 1},
        "evaluate": {"resamples": 50, "baselines": []},
    }
    run = dapeng.train(spec, runs=tmp_path / "runs")
    assert "3.avi (video): the file is empty" in capsys.readouterr().err
    as_it_is, shuffled = run.metrics["outputs"]["label"]["controls"]
    assert (as_it_is["control"], shuffled["control"]) == ("as it is", "frames shuffled")
    assert "frames shuffled" in (run.path / "report.html").read_text()
    assert len(run.predict([{"video": str(tmp_path / "videos" / "up" / "1.avi")}])) == 1
    with pytest.raises(DataError, match="can't be read as video"):
        dapeng.train({**spec, "data": str(tmp_path / "videos")}, runs=tmp_path / "runs")


def test_videos_are_guessed_by_their_names_and_by_what_they_hold() -> None:
    from dapeng.data.infer import guess

    assert guess("clip", pa.chunked_array([[f"a/{i}.MP4" for i in range(30)]]), False).options == {"type": "video"}
    assert guess("clip", pa.chunked_array([pa.array([mp4()] * 4)]), False).options == {"type": "video"}
    assert guess("photo", pa.chunked_array([pa.array([png()] * 4)]), False).options == {"type": "image"}
