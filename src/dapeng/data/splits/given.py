"""The parts that the data came in; what is missing of them is taken from train."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from dapeng.core.errors import SpecError
from dapeng.core.kinds import splits
from dapeng.data.kept import MANY
from dapeng.data.positions import counts, on_side
from dapeng.data.splits.base import TEST, TRAIN, VALIDATION, Split, draws
from dapeng.data.table import Note

LEAST, MOST = 100, 10_000
"""Rows of a part that is taken from train, where it is large enough."""
NONE = np.empty(0, np.int64)


@splits
class GivenSplit(Split):
    """As given by the files, the folders or the sample. A part that is not given is taken from train."""

    by: Literal["given"] = "given"
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of train that validates, where no rows were given for it; at least 100 rows, at most 10,000."""
    test: float = Field(0.1, gt=0, lt=1)
    """Share of train that tests, where no rows were given for it; at least 100 rows, at most 10,000."""

    def assign(self, rows, cells, seed, target=None, *, given=None, notes: list[Note] | None = None) -> np.ndarray:
        if given is None:
            raise SpecError(
                "data.split: given needs data that comes in parts",
                hint="name data.train and data.test, or split by random",
            )
        sides = np.array(given, np.int8)
        wanted = {VALIDATION: self.validation, TEST: self.test}
        for part, share in wanted.items():
            if not (sides == part).any():
                self._take(sides, part, share, seed, notes)
        return sides

    def _take(self, sides: np.ndarray, part: int, share: float, seed: int, notes: list[Note] | None) -> None:
        rows = counts(sides)[TRAIN]
        count = min(int(np.clip(round(share * rows), LEAST, MOST)), rows // 3)
        # of very many rows only some are looked at: about twice as many as are wanted, by another hash
        some = on_side(sides, TRAIN, NONE, 2 * count if rows > MANY else None, seed + part)
        chosen = some[np.argsort(draws(some, seed + part), kind="stable")[:count]]
        sides[chosen] = part
        if notes is not None:
            name = "validation" if part == VALIDATION else "test"
            notes.append(
                Note(
                    "info",
                    "split",
                    f"{count} of {rows} training rows are taken for {name}: none were given",
                    count,
                )
            )
