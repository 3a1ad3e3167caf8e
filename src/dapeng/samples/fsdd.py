"""Spoken digits: single ones, and strings of them that are made of the clips of one speaker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import members

NAME = re.compile(r"(\d)_(\w+)_(\d+)\.wav$")
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
