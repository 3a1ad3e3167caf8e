"""Metrics of retrieval: how often the right one is among the closest of all rows that test, in both directions.

Manning, Raghavan, Schütze: Introduction to Information Retrieval, 2008, chapter 8.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from dapeng.columns.match import places
from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, View


class MatchView(View):
    """Vectors of two inputs (N, D) and the keys of rows (N,); what each is looked for among are all rows, whichever are taken later."""

    task: ClassVar[str] = "match"

    def __init__(self, first: np.ndarray, second: np.ndarray, keys: np.ndarray):
        self.first, self.second, self.keys = first, second, keys

    @property
    def rows(self) -> int:
        return len(self.keys)

    @cached_property
    def ranks(self) -> dict[str, np.ndarray]:
        """(N,) by direction: how many wrong ones are closer than the right one."""
        return {
            "there": places(self.first, self.second, self.keys),
            "back": places(self.second, self.first, self.keys),
        }

    def take(self, rows: np.ndarray) -> MatchView:
        view = MatchView(self.first[rows], self.second[rows], self.keys[rows])
        view.ranks = {way: ranks[rows] for way, ranks in self.ranks.items()}
        return view

    def same(self, other: View) -> bool:
        return isinstance(other, MatchView) and bool(np.allclose(self.first, other.first, atol=1e-6))


class _Recall(Metric):
    fits: ClassVar[tuple[str, ...]] = ("match",)
    share: ClassVar[bool] = True
    way: ClassVar[str] = "there"
    most: ClassVar[int] = 10

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, MatchView)
        return drawn.mean((drawn.view.ranks[self.way] < self.most).astype(np.float64))


@metrics
class Recall1(_Recall):
    """Share of the rows whose second input is the closest of all to the first."""

    type: Literal["recall_1"] = "recall_1"
    title: ClassVar[str] = "Recall at 1"
    most: ClassVar[int] = 1


@metrics
class Recall5(_Recall):
    """Share of the rows whose second input is among the five closest to the first."""

    type: Literal["recall_5"] = "recall_5"
    title: ClassVar[str] = "Recall at 5"
    most: ClassVar[int] = 5


@metrics
class Recall10(_Recall):
    """Share of the rows whose second input is among the ten closest to the first."""

    type: Literal["recall_10"] = "recall_10"
    title: ClassVar[str] = "Recall at 10"


@metrics
class Recall10Back(_Recall):
    """Share of the rows whose first input is among the ten closest to the second."""

    type: Literal["recall_10_back"] = "recall_10_back"
    title: ClassVar[str] = "Recall at 10, the other way"
    way: ClassVar[str] = "back"


@metrics
class ReciprocalRank(Metric):
    """One by the place of the right one, the closest being at place 1; the mean over rows and both directions."""

    type: Literal["reciprocal_rank"] = "reciprocal_rank"
    fits: ClassVar[tuple[str, ...]] = ("match",)
    title: ClassVar[str] = "Mean reciprocal rank"

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, MatchView)
        each = [1 / (1 + ranks) for ranks in drawn.view.ranks.values()]
        return drawn.mean((each[0] + each[1]) / 2)
