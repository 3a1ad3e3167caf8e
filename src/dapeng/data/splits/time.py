"""The past trains, the future tests."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Field

from dapeng.columns.base import strings
from dapeng.core.errors import DataError
from dapeng.core.kinds import splits
from dapeng.data.splits.base import TEST, VALIDATION, Cells, Fractions
from dapeng.data.table import Note


@splits
class TimeSplit(Fractions):
    """By time: the last rows test, those before them validate. Rows of the same time stay together."""

    by: Literal["time"] = "time"
    column: str = Field(min_length=1)
    """Column that holds the time: a date, a number, or text in ISO form."""

    def assign(self, rows, cells, seed, target=None, *, given=None, notes: list[Note] | None = None) -> np.ndarray:
        times = moments(cells(self.column), self.column)
        known = np.flatnonzero(~np.isnan(times))
        if len(known) < rows and notes is not None:
            count = rows - len(known)
            notes.append(Note("repair", self.column, f"{count} rows without a time are used for training", count))
        ordered = np.sort(times[known])
        if not len(ordered) or ordered[0] == ordered[-1]:
            raise DataError(f"data.split: column {self.column!r} holds one time only", hint="split by random")
        train, validation, test = self.shares()
        sides = np.zeros(rows, np.int8)
        if validation:
            sides[times >= ordered[min(round(train * len(ordered)), len(ordered) - 1)]] = VALIDATION
        if test:
            sides[times >= ordered[min(round((train + validation) * len(ordered)), len(ordered) - 1)]] = TEST
        return sides


def moments(cells: Cells, column: str) -> np.ndarray:
    """(rows,) float64 that increases with time; nan where a cell is missing."""
    if pa.types.is_temporal(cells.type):
        return _seconds(pd.Series(pd.to_datetime(cells.to_pandas())))
    if pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type):
        return np.asarray(cells.to_pandas(), np.float64)
    texts = strings(cells).to_pandas().replace("", None)
    there = texts.notna()
    numbers = pd.Series(pd.to_numeric(texts, errors="coerce"))
    if numbers.notna().sum() >= 0.99 * there.sum():
        return np.asarray(numbers, np.float64)
    dates = pd.Series(pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=True))
    unread = there & dates.isna()
    if unread.sum() > 0.01 * there.sum():
        example = texts[unread].iloc[0]
        what = f"data.split: {unread.sum()} cells of column {column!r} are no time, such as {example!r} in row {int(np.argmax(unread))}"
        raise DataError(what, hint="write dates as 2026-01-31 or 2026-01-31T12:00:00")
    return _seconds(dates)


def _seconds(dates: pd.Series) -> np.ndarray:
    out = (dates - dates.dropna().min()).dt.total_seconds()
    return np.asarray(out, np.float64)
