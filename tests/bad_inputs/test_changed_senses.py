"""Pictures, scans, sounds and videos that were cut or changed by chance: read, or refused with a reason."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make import TONE, encoded, photo, wav  # type: ignore[import-not-found]
from PIL import Image

from dapeng.columns.pictures import Unreadable, labels_in, open_picture, pixels_of
from dapeng.columns.sound_reader import SoundReader


def changed(content: bytes, draw: np.random.Generator) -> bytes:
    """A file that was cut, or some bytes of which (mostly of its head) were changed, or put in."""
    raw, how = bytearray(content), draw.integers(6)
    if how == 0:
        return bytes(raw[: draw.integers(len(raw))])
    reach = len(raw) if how < 3 else min(len(raw), 120)
    for _ in range(draw.integers(1, 6)):
        raw[draw.integers(reach)] = draw.choice([0, 1, 127, 128, 255, int(draw.integers(256))])
    if how == 5:
        at = int(draw.integers(len(raw)))
        raw[at:at] = bytes(int(draw.integers(1, 9)))
    return bytes(raw)


def turned(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo(40, 30), kind, exif=exif)


FORMATS: dict[str, bytes] = {
    **{kind: encoded(photo(40, 30), kind) for kind in ("PNG", "BMP", "PPM", "GIF", "TIFF")},
    **{kind: turned(kind) for kind in ("JPEG", "WEBP")},
    "packed TIFF": encoded(photo(40, 30), "TIFF", compression="tiff_adobe_deflate"),
    "palette": encoded(photo(40, 30).quantize(8), "PNG"),
    "16 bits": encoded(Image.fromarray((np.arange(1200) * 50).astype(np.uint16).reshape(30, 40)), "PNG"),
}


@pytest.mark.parametrize("name", sorted([*FORMATS, "NIfTI", "packed NIfTI", "DICOM"]))
def test_pictures_that_were_changed_by_chance_are_read_or_refused_with_a_reason(name: str) -> None:
    content = FORMATS.get(name) or scan(name)
    draw = np.random.default_rng(0)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what a library warns of at a broken file is no news to the user
        for _ in range(40):
            cell = changed(content, draw)
            for read in (lambda c: pixels_of(open_picture(c, None), 3), lambda c: labels_in(c, None)):
                try:
                    read(cell)
                except Unreadable as error:
                    refused += bool(str(error))
    assert refused > 5


def scan(name: str) -> bytes:
    if name == "DICOM":
        files: Any = pytest.importorskip("pydicom.data", reason="DICOM is read with pydicom")
        return Path(str(files.get_testdata_file("CT_small.dcm"))).read_bytes()
    nibabel: Any = pytest.importorskip("nibabel", reason="NIfTI is read with nibabel")
    content = nibabel.Nifti1Image(np.arange(1200, dtype=np.int16).reshape(40, 30), np.eye(4)).to_bytes()
    return gzip.compress(content) if name == "packed NIfTI" else content


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_sounds_that_were_changed_by_chance_are_read_or_refused_with_a_reason(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content, reader, draw = wav(TONE, format=kind), SoundReader(8000, 60.0, "mix"), np.random.default_rng(0)
    reasons = []
    for _ in range(60):
        try:
            assert reader.samples(changed(content, draw)).dtype == np.int16
        except ValueError as error:
            reasons.append(str(error))
    assert len(reasons) > 5
    assert all(reasons)
    assert "Traceback" not in capfd.readouterr().err


def test_a_video_that_was_changed_by_chance_is_read_or_refused_with_a_reason() -> None:
    pytest.importorskip("av", reason="videos are read with PyAV: pip install 'dapeng[video]'")
    from dapeng.columns.video_reader import VideoReader
    from dapeng.samples.moving_digits import written

    frames = np.zeros((8, 32, 32), np.uint8)
    frames[:, 8:20] = 200
    reader, draw = VideoReader(4, 2, "spread", 0.0, 1, 16, 16, "stretch", 60, 10_000), np.random.default_rng(1)
    reasons = []
    for form in (("mp4", "mpeg4", "yuv420p"), ("avi", "mjpeg", "yuvj420p"), ("gif", None, None)):
        content = written(frames, *form)
        for _ in range(60):
            try:
                assert reader.sampled(changed(content, draw)).shape == (8, 1, 16, 16)
            except ValueError as error:
                reasons.append(str(error))
    assert len(reasons) > 20
    assert all(reasons)
