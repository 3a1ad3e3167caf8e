"""Outputs that say which inputs belong together."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.tasks.base import Prediction, Task
from dapeng.metrics.base import View
from dapeng.metrics.retrieval import MatchView


@tasks
class Matches(Task):
    """Retrieval: how often the right one is among the ten closest of the rows that test."""

    type: Literal["match"] = "match"
    headline: ClassVar[str] = "recall_10"
    beside: ClassVar[tuple[str, ...]] = ("recall_10", "recall_10_back", "recall_1", "recall_5", "reciprocal_rank")
    floor: ClassVar[str] = "any ten"

    def chance(self, column: Column) -> str:
        return "Any order by chance"

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> MatchView:
        return MatchView(np.asarray(prediction["first"]), np.asarray(prediction["second"]), np.asarray(values))

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, MatchView)
        different = len(np.unique(view.keys))
        return {"candidates": view.rows, "different": different, "by_chance": min(1.0, 10 / max(different, 1))}
