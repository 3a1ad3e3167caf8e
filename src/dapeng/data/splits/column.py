"""A column says which part a row belongs to."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from dapeng.core.errors import DataError
from dapeng.core.kinds import splits
from dapeng.data.splits.base import TEST, TRAIN, VALIDATION, Split, codes
from dapeng.data.table import Note

WORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), VALIDATION),
    **dict.fromkeys(("test", "testing", "holdout"), TEST),
}


@splits
class ColumnSplit(Split):
    """By the words train, validation (or valid, val, dev) and test in a column."""

    by: Literal["column"] = "column"
    column: str = Field(min_length=1)
    """Column that holds the words."""

    def assign(self, rows, cells, seed, target=None, *, given=None, notes: list[Note] | None = None) -> np.ndarray:
        places, values = codes(cells(self.column))
        words = [WORDS.get(str(v).strip().lower()) for v in values]
        strange = [repr(v) for v, w in zip(values, words) if w is None] + ["a missing cell"] * bool((places < 0).any())
        if strange:
            what = f"data.split: column {self.column!r} holds {', '.join(strange[:5])}"
            raise DataError(what, hint="each row must say train, validation or test")
        sides = np.array(words, np.int8)[places]
        if not (sides == TRAIN).any():
            raise DataError(
                f"data.split: column {self.column!r} gives no row to train", hint="write train in some rows"
            )
        return sides
