"""Questions on Chinese passages, answered by a stretch of the passage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import member


@samples
class Cmrc2018(Sample):
    """4,221 questions on 1,104 passages; trains on the trial set and four fifths of the development set's passages."""

    type: Literal["cmrc2018"] = "cmrc2018"
    licence: ClassVar = "CC BY-SA 4.0"
    source: ClassVar = "Cui et al., A Span-Extraction Dataset for Chinese Machine Reading Comprehension, 2019; github.com/ymcui/cmrc2018"
    rows: ClassVar = 4_221
    size: ClassVar = 964_321
    columns: ClassVar = ("passage", "question", "answer")
    target: ClassVar = "answer"
    origins: ClassVar = (
        Origin("file", "cmrc2018.zip", "f43eb936862ce926f8cfec72ba35693b366fc834356d90871d9300c8d074b885"),
    )

    def load(self) -> dict[str, Source]:
        archive = self.find()
        parts: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
        parts["train"] += _rows(json.loads(member(archive, "cmrc2018_trial.json")))
        known = {passage for passage, _, _ in parts["train"]}
        for row in _rows(json.loads(member(archive, "cmrc2018_dev.json"))):
            tested = hashlib.sha256(row[0].encode()).digest()[0] < 51 and row[0] not in known
            parts["test" if tested else "train"].append(row)
        return {
            name: part(self.type, name, {c: pa.array([r[i] for r in some]) for i, c in enumerate(self.columns)})
            for name, some in parts.items()
        }


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Passage, question, and the first answer, which is that of the set's authors."""
    for article in found["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                yield paragraph["context"], asked["question"], asked["answers"][0]["text"]
