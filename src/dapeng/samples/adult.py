"""Who earns more than 50,000 dollars a year, from a census."""

from __future__ import annotations

import csv
import io
from typing import ClassVar, Literal

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import member

NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")


@samples
class Adult(Sample):
    """48,842 people of the 1994 census and whether they earn over 50,000 dollars; the official train and test."""

    type: Literal["adult"] = "adult"
    licence: ClassVar = "CC BY 4.0"
    source: ClassVar = "UCI: Becker and Kohavi, Adult, 1996; github.com/jbrownlee/Datasets"
    rows: ClassVar = 48_842
    size: ClassVar = 663_664
    columns: ClassVar = (
        "age",
        "workclass",
        "fnlwgt",
        "education",
        "education_num",
        "marital_status",
        "occupation",
        "relationship",
        "race",
        "sex",
        "capital_gain",
        "capital_loss",
        "hours_per_week",
        "native_country",
        "income",
    )
    target: ClassVar = "income"
    origins: ClassVar = (
        Origin("file", "adult.zip", "9c0fac34691a54e98bb763f70f68a9ce6e01b124f0e6e64ad6bec719fb4c0b24"),
    )

    def load(self) -> dict[str, Source]:
        archive = self.find()
        return {name: self._part(name, member(archive, f"adult-{name}.csv")) for name in ("train", "test")}

    def _part(self, name: str, raw: bytes) -> Source:
        rows = [
            row
            for row in csv.reader(io.StringIO(raw.decode("utf-8")), skipinitialspace=True)
            if len(row) == len(self.columns)
        ]
        columns = {column: _cells(column, values) for column, values in zip(self.columns, zip(*rows))}
        return part(self.type, name, columns)


def _cells(column: str, values: tuple[str, ...]) -> pa.Array:
    """Whole numbers as such; labels without the blank before and, in the test file, the dot after; "?" is missing."""
    if column in NUMBERS:
        return pa.array([int(v) for v in values], pa.int64())
    stripped = [v.strip().removesuffix(".") if column == "income" else v.strip() for v in values]
    return pa.array([None if v == "?" else v for v in stripped], pa.string())
