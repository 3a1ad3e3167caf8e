"""A sound: a path, or the bytes of a WAV, FLAC, OGG or MP3 file. Read with soundfile, mixed to one channel, resampled by soxr, kept
as int16.

What can't be read is quarantined with its reason; the length is checked against the cap in the header, before anything is decoded.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from dapeng.columns.base import Bad, Cells, Column, Dims, Encoded, Entry
from dapeng.columns.cells import FileSummary, guessed_files, located, named_files, raw_cells
from dapeng.columns.log_mel import centres, log_mel
from dapeng.columns.sound_reader import SoundReader
from dapeng.core import kinds
from dapeng.core.kinds import ColumnOptions, DecoderOptions, EncoderOptions, TransformOptions
from dapeng.core.registry import DEFAULT, AutoIsNone

LOOK_AT = 1000
"""Cells of a block that are read to fit."""
HIGHEST_RATE = 16_000
"""Where the rate is auto: speech has little above half of it."""
MOST_RATES = 8
BANDS = SoundReader.BANDS
"""Mel bands of the statistics."""
SUFFIX = re.compile(r"\.(wav|wave|flac|ogg|oga|opus|mp3|aiff?|aifc|au|snd|w64|rf64|caf)$", re.IGNORECASE)
HEADS = (b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b".snd", b"FORM", b"caff")


@kinds.columns
class Audio(ColumnOptions):
    """A sound, as a path or as bytes of a WAV, FLAC, OGG or MP3 file of any rate; read by networks over its spectrum or its samples.

    As an output the task is to make one.
    Example: `inputs: {clip: {type: audio, rate: 16000, encoder: spectrogram_cnn}}`
    """

    type: Literal["audio"] = "audio"
    input_only: ClassVar[tuple[str, ...]] = ("encoder", "augment")
    output_only: ClassVar[tuple[str, ...]] = ("decoder", "weight", "judge", "shows")
    reads_files: ClassVar[bool] = True
    levels: ClassVar[dict[str, list[dict[str, Any]]]] = {
        "none": [],
        "light": [{"type": "time_shift"}, {"type": "gain"}, {"type": "silence"}],
        "medium": [{"type": t} for t in ("speed", "time_shift", "gain", "spec_augment", "silence")],
    }
    """What each level of `augment` stands for."""
    encoder: Annotated[EncoderOptions | None, kinds.encoders.choice("audio", auto=True)] = None
    """The network that reads it. auto: convolutions over the spectrum; convolutions and a GRU where it is to be written down."""
    decoder: Annotated[DecoderOptions, kinds.decoders.choice("audio", default="speech")] = DEFAULT
    """How it is made."""
    weight: float = Field(1.0, gt=0)
    """Weight of this output beside the others."""
    judge: Annotated[str | None, AutoIsNone()] = None
    """A run that hears such sounds and says a category or a text, by which those that are made are judged: its folder, or recipe:NAME,
    which is trained where there is none. auto: none, and spectra alone are compared.
    """
    shows: Annotated[str | None, AutoIsNone()] = None
    """The input that says what the judge should hear in a sound. auto: the only text among the inputs, else the only category."""
    rate: int | Literal["auto"] = Field("auto", ge=1000, le=192_000)
    """Samples a second to which sounds are brought. auto: as most of the data have, at most 16,000."""
    channel: Literal["mix", "first"] = "mix"
    """What is made one of several channels: the mean of all, or the first one alone."""
    augment: (
        Literal["auto", "none", "light", "medium"] | list[Annotated[TransformOptions, kinds.transforms.choice("audio")]]
    ) = "auto"
    """Random changes in training: a level, or a list of transforms. auto: medium."""
    max_seconds: float = Field(60.0, gt=0, le=36_000)
    """Longest sound that is decoded; longer ones are quarantined by what their header says."""

    @classmethod
    def examples(cls) -> list[Any]:
        import soundfile

        cells: list[Any] = []
        for i in range(10):
            time = np.arange(480 + 200 * i) / 8000
            file = io.BytesIO()
            tone = 0.4 * np.sin(2 * np.pi * (200 + 300 * i) * time) + 0.1 * np.sin(2 * np.pi * 50 * i * time)
            soundfile.write(file, tone, 8000, format=("WAV", "FLAC")[i % 2])
            cells.append(file.getvalue() if i != 4 else None)
        return cells

    @classmethod
    def guess(cls, cells: Cells, as_target: bool) -> tuple[float, str]:
        """How surely these are sounds: names of sound files, or bytes that begin like them."""
        return guessed_files(cells, SUFFIX, is_sound, "sounds")

    def summary(self, target: bool) -> AudioSummary:
        return AudioSummary(self)

    def fitted(self, name: str, state: dict[str, Any], target: bool) -> AudioColumn:
        if not target:
            return AudioColumn(name, self, state, target)
        from dapeng.columns.sounding import SoundingColumn

        return SoundingColumn(name, self, state, target)

    def encoder_for(self, needs: frozenset[str]) -> tuple[str, str]:
        return ("deepspeech2", "keeps the order of what is heard") if "tokens" in needs else ("", "")

    @property
    def reader(self) -> SoundReader:
        """Reads sounds as they come, within the bounds."""
        return SoundReader(0, self.max_seconds, self.channel)


def is_sound(content: bytes) -> bool:
    """Whether bytes begin as a file of sound does."""
    return (content[:4] in (b"RIFF", b"RF64") and content[8:12] == b"WAVE") or content.startswith(HEADS)


class AudioSummary(FileSummary):
    """Rates and lengths from headers, and for each rate that may be chosen the mean and deviation of the mel bands of what was read."""

    looked: ClassVar[int] = LOOK_AT

    def __init__(self, options: Audio):
        self.options = options
        self.rates: Counter[int] = Counter()
        self.lengths: Counter[int] = Counter()
        """Hundredths of a second."""
        self.missing, self.bad, self.loud, self.several = 0, 0, 0, 0
        self.bands: dict[int, np.ndarray] = {}
        """(3, M) by rate: frames, sums and sums of squares."""

    @property
    def _asked(self) -> int:
        """The rate that is said, by the spec or by the weights of the encoder; 0 where the data say it."""
        if self.options.rate != "auto":
            return self.options.rate
        return self.options.encoder.sound().get("rate", 0) if self.options.encoder is not None else 0

    def _look(self, cell: Any, base: Path | None) -> None:
        reader = self.options.reader
        try:
            sound = reader.open(located(cell, base))
            channels, count = sound.channels, sound.frames
            x, rate = reader.decoded(sound)
        except ValueError:
            self.bad += 1
            return
        self.rates[rate] += 1
        self.lengths[round(100 * count / rate)] += 1
        self.several += channels > 1
        self.loud += bool(np.abs(x).max() > 1.0 + 1e-4)
        wanted = self._asked or min(rate, HIGHEST_RATE)
        x = log_mel(reader.at(x, rate, wanted), wanted, BANDS).astype(np.float64)
        self._count(wanted, np.stack([np.full(BANDS, float(len(x))), x.sum(0), (x * x).sum(0)]))

    def _count(self, rate: int, sums: np.ndarray) -> None:
        if rate in self.bands or len(self.bands) < MOST_RATES:
            self.bands[rate] = self.bands.get(rate, 0) + sums

    def merge(self, other: AudioSummary) -> None:
        self.rates.update(other.rates)
        self.lengths.update(other.lengths)
        for name in ("missing", "bad", "loud", "several"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for rate in sorted(other.bands):
            self._count(rate, other.bands[rate])

    def result(self) -> dict[str, Any]:
        rate = self._asked or self._commonest()
        frames, total, squares = self.bands.get(rate, np.zeros((3, BANDS)))
        mean = total / np.maximum(frames, 1)
        std = np.sqrt(np.maximum(squares / np.maximum(frames, 1) - mean**2, 1e-4)) if frames.any() else np.ones(BANDS)
        lengths = sorted(self.lengths.elements())
        return {
            "rate": rate,
            "missing": self.missing,
            "unreadable": self.bad,
            "rates": [[r, n] for r, n in sorted(self.rates.items(), key=lambda i: (-i[1], i[0]))[:20]],
            "seconds": round(sum(lengths) / 100, 2),
            "median": lengths[len(lengths) // 2] / 100 if lengths else 1.0,
            "longest": lengths[-1] / 100 if lengths else 1.0,
            "mean": [round(float(v), 5) for v in mean],
            "std": [round(float(v), 5) for v in std],
            "loud": self.loud,
            "several": self.several,
        }

    def _commonest(self) -> int:
        brought: Counter[int] = Counter()
        for rate, count in self.rates.items():
            brought[min(rate, HIGHEST_RATE)] += count
        return min(brought, key=lambda r: (-brought[r], r), default=HIGHEST_RATE)


class AudioColumn(Column):
    """samples (B, T) int16, mask (B, T). A sample of 32,768 would be full scale."""

    options: Audio
    ragged: ClassVar[bool] = True

    def __init__(self, name: str, options: Audio, state: dict[str, Any], target: bool):
        super().__init__(name, options, state, target)
        self.rate: int = state["rate"]
        self._reader = SoundReader(self.rate, options.max_seconds, options.channel)

    @property
    def places(self) -> float:
        return max(100.0 * self.state["median"], 1.0)

    @property
    def usual_augment(self) -> str:
        """The level that `augment: auto` stands for."""
        return "medium"

    def default_encoder(self, rows: int) -> tuple[str, str]:
        return "spectrogram_cnn", f"trains from scratch on {rows:,} sounds"

    def layout(self) -> dict[str, Dims]:
        return {"samples": Dims("B T", "int16", low=-32768, high=32767), "mask": Dims("B T", "bool")}

    def lasts(self, tensors: Mapping[str, Any]) -> float:
        return float(tensors["mask"].sum()) / self.rate

    def normalisation(self, bands: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation (M,) of the logarithms of so many mel bands, in training."""
        known, wanted = centres(self.rate, BANDS), centres(self.rate, bands)
        return np.interp(wanted, known, self.state["mean"]), np.interp(wanted, known, self.state["std"])

    def files(self, cells: Cells, base: Path | None = None) -> Iterator[Path]:
        return named_files(cells, base)

    def encode(self, cells: Cells, base: Path | None = None) -> Encoded:
        rows, bad = raw_cells(cells), Bad()
        found = [np.zeros(0, np.int16)] * len(rows)
        for row, cell in enumerate(rows):
            if cell is None:
                continue
            try:
                found[row] = self._reader.samples(located(cell, base))
            except ValueError as error:
                bad.add(row, str(error))
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        samples = np.concatenate(found) if found else np.zeros(0, np.int16)
        return Encoded({"samples": samples}, None if (lengths > 0).all() else lengths > 0, lengths, bad)

    def matrix(self, cells: Cells, base: Path | None = None) -> np.ndarray:
        """(N, 2 M + P M / 2 + 1) as `SoundReader.described`; nan where unread."""
        out = np.tile(self._reader.nothing().astype(np.float32), (len(cells), 1))
        for row, cell in enumerate(raw_cells(cells)):
            try:
                if cell is not None:
                    out[row] = self._reader.described(self._reader.samples(located(cell, base)))
            except ValueError:
                continue
        return out

    def matrix_again(self, cells: Cells, found: Encoded) -> np.ndarray:
        assert found.lengths is not None
        sounds = np.split(found.tensors["samples"], np.cumsum(found.lengths)[:-1])
        each = [self._reader.described(s) if len(s) else self._reader.nothing() for s in sounds]
        return np.stack(each).astype(np.float32)

    def matrix_names(self) -> list[str]:
        return []

    def made_up(self, rows: int, draw: np.random.Generator) -> pa.Array:
        import soundfile

        cells = []
        for _ in range(rows):
            file = io.BytesIO()
            count = max(1, int(self.rate * self.state["median"]))
            soundfile.write(file, draw.normal(0, 0.1, count).clip(-1, 1), self.rate, format="WAV")
            cells.append(file.getvalue())
        return pa.array(cells, pa.binary())

    def entry(self) -> Entry:
        return Entry("file", accept="audio/*")

    @property
    def expected(self) -> str:
        return "a sound (WAV, FLAC, OGG or MP3)"

    def remarks(self) -> list[str]:
        loud = self.state["loud"]
        return [f"{loud:,} sounds go beyond full scale: cut there"] * bool(loud)

    def handled(self) -> list[str]:
        s = self.state
        others = sum(n for r, n in s["rates"] if r != self.rate)
        told = [f"{others:,} training sounds are of another rate: all are brought to {self.rate:,} Hz"] * bool(others)
        return told + [f"{s['several']:,} training sounds have several channels: {self._mixed}"] * bool(s["several"])

    @property
    def _mixed(self) -> str:
        return "the first is read" if self.options.channel == "first" else "their mean is read"

    def describe(self) -> str:
        s = self.state
        return f"sound, {self.rate:,} Hz, {s['median']:.3g} s in the median, longest {s['longest']:.3g} s"

    def reader(self) -> tuple[type, dict[str, Any]]:
        return SoundReader, {"rate": self.rate, "longest": self.options.max_seconds, "channel": self.options.channel}
