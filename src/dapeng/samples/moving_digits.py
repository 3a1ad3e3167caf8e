"""Videos of a digit that goes round, made by a stated procedure out of MNIST: the class is how it goes, and no frame says it.

A loop (an ellipse, anywhere, of any size and tilt) has 16 places. A digit is at one of them in each of 16 frames, and in each frame moves
on by 1 or 3 places, this way or that. So every video shows its digit once at each place of its loop, whatever its class: which frames
there are says nothing about the class, their order all of it. A second digit stands still. Noise lies on every frame.

Moving digits: Srivastava, Mansimov, Salakhutdinov, 2015 (https://arxiv.org/abs/1502.04681), whose digits bounce.
"""

from __future__ import annotations

import io
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part
from dapeng.samples.mnist import HEADER, Mnist

SIDE, PLACES, DIGIT = 48, 16, 20
MOTIONS = {"clockwise": 1, "anticlockwise": -1, "clockwise, fast": 3, "anticlockwise, fast": -3}
"""Places by which a digit moves on from frame to frame."""
FILES = (("mp4", "mpeg4", "yuv420p"), ("avi", "mjpeg", "yuvj420p"), ("gif", None, None))
"""Kinds of files, in turn, with their codec and the form of their pixels."""


@samples
class MovingDigits(Sample):
    """2,000 made videos of 16 frames, 48 x 48 pixels, in MP4, AVI and GIF files: digits of MNIST go round a loop, one way or the other, slowly or fast;
    1,500, 200 and 300 train, validate and test.
    """

    type: Literal["moving_digits"] = "moving_digits"
    licence: ClassVar = Mnist.licence
    source: ClassVar = "Made of " + Mnist.source
    rows: ClassVar = 2_000
    size: ClassVar = Mnist.size
    columns: ClassVar = ("clip", "motion", "digit")
    target: ClassVar = "motion"
    origins: ClassVar = Mnist.origins
    videos: ClassVar[dict[str, int]] = {"train": 1_500, "validation": 200, "test": 300}

    def load(self) -> dict[str, Source]:
        known = Mnist().load()
        out: dict[str, Source] = {}
        for number, (name, count) in enumerate(self.videos.items()):
            table = known["test" if name == "test" else "train"].read()
            start = self.videos["train"] if name == "validation" else 0  # digits of its own
            rows = table.slice(2 * start, 2 * count)
            pixels = [c.as_py()[len(HEADER) :] for c in rows.column("image")]
            digits = np.frombuffer(b"".join(pixels), np.uint8).reshape(-1, 28, 28)
            labels = rows.column("label").to_pylist()
            out[name] = part(self.type, name, made(digits, labels, np.random.Generator(np.random.Philox([31, number]))))
        return out


def made(digits: np.ndarray, labels: list[str], draw: np.random.Generator) -> dict[str, pa.Array]:
    """Rows of half as many videos as there are digits (N, 28, 28) uint8: the first of two moves, the other stands still."""
    count = len(digits) // 2
    motions = [list(MOTIONS)[i % len(MOTIONS)] for i in draw.permutation(count)]
    files = [
        written(frames_of(digits[2 * i], digits[2 * i + 1], MOTIONS[motion], draw), *FILES[i % len(FILES)])
        for i, motion in enumerate(motions)
    ]
    return {"clip": pa.array(files, pa.binary()), "motion": pa.array(motions), "digit": pa.array(labels[::2])}


def loop(draw: np.random.Generator) -> np.ndarray:
    """(PLACES, 2) corners of a digit at the places of a loop, clockwise, x first."""
    room = SIDE - DIGIT
    angles = 2 * np.pi * np.arange(PLACES) / PLACES + draw.uniform(0, 2 * np.pi)
    radii, tilt = draw.uniform(0.25, 0.5, 2) * room, draw.uniform(0, np.pi)
    x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    turned = np.stack([x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)], 1)
    free = room / 2 - np.abs(turned).max(0)
    return turned + room / 2 + draw.uniform(-1, 1, 2) * np.maximum(free, 0)


def frames_of(moving: np.ndarray, still: np.ndarray, step: int, draw: np.random.Generator) -> np.ndarray:
    """(PLACES, SIDE, SIDE) uint8 of one video."""
    moving, still = (smaller(d) for d in (moving, still))
    corners = np.rint(loop(draw)).astype(int).clip(0, SIDE - DIGIT)
    x, y = draw.integers(0, SIDE - DIGIT + 1, 2)
    ground = np.zeros((SIDE, SIDE), np.float32)
    ground[y : y + DIGIT, x : x + DIGIT] = 0.6 * still
    frames = np.repeat(ground[None], PLACES, 0)
    for number in range(PLACES):
        left, top = corners[number * step % PLACES]
        seen = frames[number, top : top + DIGIT, left : left + DIGIT]
        np.maximum(seen, moving, out=seen)
    return np.clip(frames + draw.normal(0, 12, frames.shape), 0, 255).astype(np.uint8)


def smaller(digit: np.ndarray) -> np.ndarray:
    """(DIGIT, DIGIT) float32 of a digit (28, 28)."""
    from PIL import Image

    return np.asarray(Image.fromarray(digit).resize((DIGIT, DIGIT), Image.Resampling.BILINEAR), np.float32)


def written(frames: np.ndarray, form: str, codec: str | None, pixels: str | None) -> bytes:
    """The bytes of a video file."""
    from PIL import Image

    file, pictures = io.BytesIO(), [Image.fromarray(f) for f in frames]
    if codec is None:
        pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=100, loop=0)
        return file.getvalue()
    av = _av()
    with av.open(file, "w", format=form) as out:
        stream: Any = out.add_stream(codec, rate=10)
        stream.width = stream.height = SIDE
        stream.pix_fmt, stream.bit_rate, stream.codec_context.thread_count = pixels, 400_000, 1
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_image(picture.convert("RGB"))))
        out.mux(stream.encode())
    return file.getvalue()


def _av() -> Any:
    try:
        import av
    except ImportError:
        what = "its videos are written with PyAV, which is not installed"
        raise DataError(Problem("sample:moving_digits", what, "pip install 'dapeng[video]'")) from None
    return av
