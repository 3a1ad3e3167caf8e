"""Spoken digits: single ones, and strings of them that are made of the clips of one speaker."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import members

NAME = re.compile(r"(\d)_(\w+)_(\d+)\.wav$")
RATE = 8_000
TEST = 5
"""Clips of each digit and speaker, the first ones, that test."""
WORDS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    "zh": list("零一二三四五六七八九"),
}


class Clip(NamedTuple):
    """One recording: the digit, who says it, which one of it, and the bytes of a WAV file."""

    digit: int
    speaker: str
    index: int
    sound: bytes


class _Fsdd(Sample):
    licence: ClassVar = "CC BY-SA 4.0"
    source: ClassVar = "Jackson et al., Free Spoken Digit Dataset; github.com/Jakobovski/free-spoken-digit-dataset"
    size: ClassVar = 16_157_653
    origins: ClassVar = (
        Origin("file", "fsdd.zip", "0bc2c5cae0c1416ee9edb1c1cfd2d646d683a6fdea4b28c71c98b621015bb484"),
    )

    def clips(self) -> Iterator[Clip]:
        """All recordings, in the order of index, digit and speaker, so that neighbours differ."""
        found = []
        for path, content in members(self.find(), ".wav"):
            name = NAME.search(path)
            if name is not None:
                found.append(Clip(int(name[1]), name[2], int(name[3]), content))
        yield from sorted(found, key=lambda c: (c.index, c.digit, c.speaker))

    def _columns(self, clips: list[Clip]) -> dict[str, pa.Array]:
        return {
            "clip": pa.array([c.sound for c in clips], pa.binary()),
            "digit": pa.array([str(c.digit) for c in clips]),
            "word": pa.array([WORDS["en"][c.digit] for c in clips]),
            "speaker": pa.array([c.speaker for c in clips]),
        }


@samples
class Fsdd(_Fsdd):
    """3,000 English digits, spoken by 6 people, 8 kHz; the official split: the first 5 of 50 clips of each digit and speaker test."""

    type: Literal["fsdd"] = "fsdd"
    rows: ClassVar = 3_000
    columns: ClassVar = ("clip", "digit", "word", "speaker")
    target: ClassVar = "digit"

    def load(self) -> dict[str, Source]:
        found: dict[str, list[Clip]] = {"train": [], "test": []}
        for clip in self.clips():
            found["test" if clip.index < TEST else "train"].append(clip)
        return {name: part(self.type, name, self._columns(clips)) for name, clips in found.items()}


@samples
class FsddStrings(_Fsdd):
    """2,700 strings of 3 to 5 spoken digits, made by joining clips of one speaker with random gaps; 300 of clips that never train, test."""

    type: Literal["fsdd_strings"] = "fsdd_strings"
    rows: ClassVar = 2_700
    columns: ClassVar = ("clip", "en", "de", "zh", "speaker")
    target: ClassVar = "en"
    shares: ClassVar[dict[str, int]] = {"train": 2_400, "test": 300}

    def load(self) -> dict[str, Source]:
        found: dict[str, dict[str, list[Clip]]] = {"train": {}, "test": {}}
        for clip in self.clips():
            found["test" if clip.index < TEST else "train"].setdefault(clip.speaker, []).append(clip)
        return {name: part(self.type, name, self._strings(name, found[name])) for name in found}

    def _strings(self, name: str, spoken: dict[str, list[Clip]]) -> dict[str, pa.Array]:
        draw = np.random.Generator(np.random.Philox([0, len(name)]))
        speakers = sorted(spoken)
        columns: dict[str, list[Any]] = {c: [] for c in self.columns}
        for row in range(self.shares[name]):
            speaker = speakers[row % len(speakers)]
            clips = [spoken[speaker][i] for i in draw.integers(len(spoken[speaker]), size=draw.integers(3, 6))]
            columns["clip"].append(joined(clips, draw))
            columns["speaker"].append(speaker)
            for language, words in WORDS.items():
                columns[language].append(("" if language == "zh" else " ").join(words[c.digit] for c in clips))
        return {n: pa.array(v, pa.binary() if n == "clip" else pa.string()) for n, v in columns.items()}


def joined(clips: list[Clip], draw: np.random.Generator) -> bytes:
    """A WAV file of these clips, with 0.05 to 0.3 seconds of a quiet room before, between and behind them."""

    def room() -> np.ndarray:
        return np.rint(draw.normal(0, 8, int(draw.integers(RATE // 20, RATE * 3 // 10)))).astype(np.int16)

    parts = [room()]
    for clip in clips:
        with wave.open(io.BytesIO(clip.sound)) as sound:
            parts += [np.frombuffer(sound.readframes(sound.getnframes()), np.int16), room()]
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(np.concatenate(parts).tobytes())
    return out.getvalue()
