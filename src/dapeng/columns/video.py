"""A video: a path, the bytes of an MP4, AVI, GIF, MKV or WebM file, or a folder of frames. Read with PyAV; some frames of it are kept as uint8.

What can't be read is quarantined with its reason; size and length are checked against the caps in the header, before anything is decoded.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from dapeng.columns.base import Bad, Cells, Column, Dims, Encoded, Entry
from dapeng.columns.cells import FileSummary, guessed_files, located, named_files, raw_cells
from dapeng.columns.pictures import checked_sides
from dapeng.columns.video_reader import VideoReader
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, EncoderOptions, TransformOptions

LOOK_AT = 200
"""Cells of a block that are read to fit."""
LARGEST = 112
"""Longer side where the size is auto."""
SUFFIX = re.compile(r"\.(mp4|m4v|mov|avi|mkv|webm)$", re.IGNORECASE)


@kinds.columns
class Video(ColumnOptions):
    """A video, as a path, as the bytes of a file (MP4, MOV, AVI, MKV, WebM, GIF), or as a folder of frames; read by clips of some frames.

    Example: `inputs: {clip: {type: video, frames: 16, size: 64, encoder: r2plus1d}}`
    """

    type: Literal["video"] = "video"
    read_only: ClassVar[bool] = True
    reads_files: ClassVar[bool] = True
    levels: ClassVar[dict[str, list[dict[str, Any]]]] = {
        "none": [],
        "light": [{"type": "any_clip"}, {"type": "every_frame", "change": {"type": "shift", "share": 0.1}}],
        "medium": [
            {"type": "any_clip"},
            *({"type": "every_frame", "change": c} for c in ({"type": "flip"}, {"type": "shift", "share": 0.125})),
        ],
    }
    """What each level of `augment` stands for."""
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("video", auto=True)] = None
    """The network that reads it. auto: convolutions over space and time in turn."""
    frames: int = Field(8, ge=2, le=1024)
    """Frames of a clip."""
    clips: int = Field(2, ge=1, le=64)
    """Clips of a video: training looks at one of them, drawn at random; prediction at all, and averages what it says."""
    sampling: Literal["spread", "consecutive"] = "spread"
    """Which frames a clip has: some spread over the whole video (Wang et al., 2016); or one after the other, `rate` a second."""
    rate: float | Literal["auto"] = Field("auto", gt=0, le=1000)
    """Frames a second of a clip whose sampling is consecutive. auto: as the video has them."""
    size: int | list[int] | Literal["auto"] = "auto"
    """Height and width in pixels to which frames are scaled. auto: the usual size in the data, at most 112."""
    channels: Literal["auto", 1, 3] = "auto"
    """1 turns to grey, 3 to colour. auto: what public weights want, else 1 if all videos are grey."""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """How frames of another shape are brought to size."""
    augment: (
        Literal["auto", "none", "light", "medium"] | list[Annotated[TransformOptions, kinds.transforms.choice("video")]]
    ) = "auto"
    """Random changes in training: a level, or a list of transforms. auto: light, for what moves left is not what moves right."""
    max_seconds: float = Field(600.0, gt=0, le=360_000)
    """Longest video that is decoded; longer ones are quarantined by what their header says."""
    max_pixels: int = Field(10_000_000, ge=4)
    """Largest frame that is decoded."""

    @field_validator("size")
    @classmethod
    def _sides(cls, value: Any) -> Any:
        return checked_sides(value)

    @classmethod
    def examples(cls) -> list[Any]:
        from PIL import Image as Pillow

        cells = []
        for i in range(10):  # a bar that turns, fast or slowly
            bar = Pillow.linear_gradient("L").resize((16, 16)).convert("RGB")
            frames = [bar.rotate(20 * t * (i + 1) + 36 * i) for t in range(4 + 2 * i)]
            file = io.BytesIO()
            frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=100)
            cells.append(file.getvalue())
        return cells

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these are videos: names of video files, or bytes that begin like them."""
        return (0.0, "") if as_target else guessed_files(cells, SUFFIX, is_video, "videos")

    def summary(self, target: bool) -> VideoSummary:
        return VideoSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> VideoColumn:
        return VideoColumn(name, self, state, target)

    def reader(self, channels: int, height: int, width: int) -> VideoReader:
        """Reads videos at this size, within the bounds."""
        rate = 0.0 if self.rate == "auto" else self.rate
        bounds = (self.max_seconds, self.max_pixels)
        return VideoReader(self.frames, self.clips, self.sampling, rate, channels, height, width, self.resize, *bounds)


def is_video(content: bytes) -> bool:
    """Whether bytes begin as a video does; a GIF is a picture unless somebody says otherwise."""
    return any(content[at : at + len(mark)] == mark for at, mark, form in VideoReader.HEADS if form != "gif")


class VideoSummary(FileSummary):
    """Sizes, lengths and rates from headers, and of some frames whether they are grey, their mean and deviation."""

    looked: ClassVar[int] = LOOK_AT

    def __init__(self, options: Video):
        self.options = options
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.counts: Counter[int] = Counter()
        self.rates: Counter[float] = Counter()
        self.colour, self.missing, self.bad = 0, 0, 0
        self.total, self.squares, self.pixels = np.zeros(3), np.zeros(3), 0

    def _look(self, cell: Any, base: Path | None) -> None:
        cell = located(cell, base)
        try:
            with self.options.reader(3, 64, 64).opened(cell) as video:
                frames = [np.asarray(f.convert("RGB").resize((64, 64))) for _, f in video.at([0, video.count // 2])]
                if not frames:
                    raise ValueError("no frame")
        except ValueError:
            self.bad += 1
            return
        x = np.stack(frames).reshape(-1, 3).astype(np.float64)
        self.colour += bool(np.abs(x - x.mean(1, keepdims=True)).max() > 6)
        x /= 255
        self.total, self.squares = self.total + x.sum(0), self.squares + (x * x).sum(0)
        self.pixels += len(x)
        self.sizes[video.size] += 1
        self.counts[video.count] += 1
        self.rates[round(video.rate, 2)] += 1

    def merge(self, other: VideoSummary) -> None:
        for name in ("sizes", "counts", "rates"):
            getattr(self, name).update(getattr(other, name))
        for name in ("colour", "missing", "bad", "total", "squares", "pixels"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def result(self) -> dict[str, Any]:
        mean = self.total / max(self.pixels, 1)
        std = np.sqrt(np.maximum(self.squares / max(self.pixels, 1) - mean**2, 1e-6))
        wanted = self.options.encoder.picture() if self.options.encoder is not None else {}
        asked = wanted.get("channels", "auto") if self.options.channels == "auto" else self.options.channels
        height, width = self._size()
        counts = sorted(self.counts.elements())
        return {
            "height": height,
            "width": width,
            "channels": asked if asked != "auto" else 3 if self.colour else 1,
            "mean": [round(float(v), 6) for v in mean],
            "std": [round(float(v), 6) for v in std],
            "missing": self.missing,
            "unreadable": self.bad,
            "median": counts[len(counts) // 2] if counts else self.options.frames,
            "longest": counts[-1] if counts else self.options.frames,
            "short": sum(n for c, n in self.counts.items() if c < self.options.frames),
            "rates": [[r, n] for r, n in sorted(self.rates.items(), key=lambda i: (-i[1], i[0]))[:20]],
        }

    def _size(self) -> tuple[int, int]:
        asked = self.options.size
        if asked != "auto":
            return (asked[0], asked[-1]) if isinstance(asked, list) else (asked, asked)
        if not self.sizes:
            return (64, 64)
        (height, width), _ = min(self.sizes.items(), key=lambda i: (-i[1], i[0]))
        scale = min(1.0, LARGEST / max(height, width))
        return (max(8, round(height * scale)), max(8, round(width * scale)))


class VideoColumn(Column):
    """frames (B, F, C, Y, X) uint8, clip by clip: F is clips times frames. Networks read the first `options.frames` of them."""

    options: Video

    def __init__(self, name: str, options: Video, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.shape: tuple[int, int, int] = (state["channels"], state["height"], state["width"])
        self._reader = options.reader(*self.shape)

    @property
    def places(self) -> float:
        return self.options.frames * self.shape[1] * self.shape[2] / 8

    @property
    def usual_augment(self) -> str:
        """The level that `augment: auto` stands for."""
        return "light"

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "r2plus1d", f"trains from scratch on {rows:,} videos"

    def layout(self) -> dict[str, Dims]:
        c, y, x = self.shape
        return {"frames": Dims(f"B {self.options.frames * self.options.clips} {c} {y} {x}", "uint8", low=0, high=255)}

    @property
    def normalisation(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of the channels, of pixels from 0 to 1."""
        if self.shape[0] == 1:
            weights = (0.299, 0.587, 0.114)
            grey = [sum(w * m for w, m in zip(weights, self.state[k])) for k in ("mean", "std")]
            return [grey[0]], [grey[1]]
        return self.state["mean"], self.state["std"]

    def files(self, cells: Cells, base: Path | None = None) -> Iterator[Path]:
        return named_files(cells, base)

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        rows, bad = raw_cells(cells), Bad()
        out = np.zeros((len(rows), self.options.frames * self.options.clips, *self.shape), np.uint8)
        present = np.array([c is not None for c in rows], bool)
        for row in np.flatnonzero(present):
            try:
                out[row] = self._reader.sampled(located(rows[row], base))
            except ValueError as error:
                present[row] = False
                bad.add(row, str(error))
        return Encoded({"frames": out}, None if present.all() else present, bad=bad)

    def looks(self) -> list[Callable[[dict[str, Any]], dict[str, Any]]]:
        return [partial(_turned, by=clip * self.options.frames) for clip in range(1, self.options.clips)]

    def controls(self) -> dict[str, Callable[[dict[str, Any], Any], dict[str, Any]]]:
        return {"frames shuffled": self._shuffled}

    def _shuffled(self, tensors: dict[str, Any], draw: Callable[[int], np.ndarray]) -> dict[str, Any]:
        """The frames of each clip in another order, its own for each row."""
        frames, clips = self.options.frames, self.options.clips
        order = np.argsort(draw(frames * clips).reshape(-1, clips, frames), 2) + frames * np.arange(clips)[:, None]
        x = tensors["frames"]
        at = x.new_tensor(order.reshape(len(order), -1), dtype=x.long().dtype)
        return {"frames": x.gather(1, at[:, :, None, None, None].expand_as(x))}

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        """(N, F C Y X) as `VideoReader.seen`; nan where unread."""
        return self.matrix_again(cells, self.encode(cells, base))

    def matrix_again(self, cells: Cells, found: Encoded) -> np.ndarray:
        return self._reader.seen(found.tensors["frames"], found.present)

    def matrix_names(self) -> list[str]:
        return []

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        from PIL import Image

        c, y, x = self.shape
        cells = []
        for _ in range(rows):
            frames = [Image.fromarray(draw.integers(0, 256, (y, x) if c == 1 else (y, x, 3), np.uint8)) for _ in "ab"]
            file = io.BytesIO()
            frames[0].save(file, "GIF", save_all=True, append_images=frames[1:] * (self.options.frames // 2))
            cells.append(file.getvalue())
        return pa.array(cells, pa.binary())

    def entry(self) -> Entry:
        return Entry("file", accept="video/*,image/gif")

    @property
    def expected(self) -> str:
        return "a video (MP4, MOV, AVI, MKV, WebM or GIF)"

    def remarks(self) -> list[str]:
        short = self.state["short"]
        told = f"{short:,} videos have fewer than {self.options.frames} frames: some are looked at twice"
        return [told] if short else []

    def describe(self) -> str:
        s, (c, y, x) = self.state, self.shape
        clips = f"{self.options.clips} clips of {self.options.frames} frames"
        return f"video, {clips}, {y} x {x}, {'grey' if c == 1 else 'colour'}; {s['median']:,} frames in the median"

    def reader(self) -> tuple[type, dict[str, Any]]:
        r = self._reader
        names = ("frames", "clips", "sampling", "rate", "channels", "height", "width", "resize", "longest", "pixels")
        return VideoReader, {n: getattr(r, n) for n in names}


def _turned(tensors: dict[str, Any], by: int) -> dict[str, Any]:
    """Frames turned round so that another clip comes first."""
    return {**tensors, "frames": tensors["frames"].roll(-by, 1)}
