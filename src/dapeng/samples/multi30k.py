"""What is on a picture, in one sentence, in three languages."""

from __future__ import annotations

import gzip
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import find

FILES = {
    "test_2016_flickr.de": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.en": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2016_flickr.fr": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    "train.de": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.en": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "train.fr": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "val.de": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.en": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.fr": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
}
PARTS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}


@samples
class Multi30k(Sample):
    """31,014 sentences on pictures in German, English and French; the official train, validation and test of 2016."""

    type: Literal["multi30k"] = "multi30k"
    licence: ClassVar = "research use"
    source: ClassVar = (
        "Elliott et al., Multi30K: Multilingual English-German Image Descriptions, 2016; github.com/multi30k/dataset"
    )
    rows: ClassVar = 31_014
    size: ClassVar = 1_945_824
    columns: ClassVar = ("de", "en", "fr")
    target: ClassVar = "en"
    origins: ClassVar = tuple(Origin("file", f"multi30k/{name}.gz", sha) for name, sha in FILES.items())

    def load(self) -> dict[str, Source]:
        return {name: part(self.type, name, self._columns(stem)) for name, stem in PARTS.items()}

    def _columns(self, stem: str) -> dict[str, pa.Array]:
        return {language: self._lines(f"{stem}.{language}") for language in self.columns}

    def _lines(self, name: str) -> pa.Array:
        (origin,) = (o for o in self.origins if o.name == f"multi30k/{name}.gz")
        with gzip.open(find(self.type, (origin,), self.size), "rt", encoding="utf-8", newline="\n") as file:
            return pa.array([line.strip() for line in file.read().rstrip("\n").split("\n")])
