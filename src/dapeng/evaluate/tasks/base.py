"""What judging must know of one kind of output: its view, what the verdict speaks of, its tables, its worst errors.

A column names its task (`Column.task`), so that a new kind of output, here or from outside, is one file beside these.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.errors import RunError
from dapeng.core.kinds import TaskOptions, tasks
from dapeng.core.spec import Evaluate
from dapeng.metrics.base import View

Prediction = Mapping[str, np.ndarray]
Told = tuple[Column, Prediction, np.ndarray]
"""What one run said of some rows: its output column, the prediction, the truth."""


@dataclass(frozen=True)
class Wrong:
    """One row that was answered wrongly. row: its position in the data. surety: of what was said, 0 to 1, or the error.

    said: None where nothing was answered. told: how wrong it is in words, where the surety alone doesn't say it.
    """

    row: int
    truth: str
    said: str | None
    surety: float
    told: str = ""


class Task(TaskOptions):
    """A registered task; its tag is also the name by which metrics and learners say what they fit."""

    headline: ClassVar[str]
    """The metric that the verdict speaks of and members are ranked by."""
    beside: ClassVar[tuple[str, ...]]
    """Metrics that the leaderboard shows."""
    floor: ClassVar[str] = "the mean"
    """What a constant answers."""
    decides: ClassVar[bool] = False
    """True if an answer is right or wrong, rather than off by something."""
    long: ClassVar[bool] = False
    """True if answers are texts too long to stand in a line."""

    def leads(self, column: Column) -> str:
        """The headline for this very output."""
        return self.headline

    def first(self, column: Column, applying: Collection[str]) -> str:
        """The headline among the metrics that apply: what is shown first, or else any that does."""
        wanted = (self.leads(column), *self.shows(column), *applying)
        return next((n for n in wanted if n in applying), self.leads(column))

    def shows(self, column: Column) -> tuple[str, ...]:
        """What the leaderboard shows for it, the headline among them."""
        return self.beside

    def chance(self, column: Column) -> str:
        """What reaches the floor, as the subject of a sentence."""
        return f"Always answering {self.floor}"

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> View:
        """Predictions in the column's layout beside the true values of the same rows."""
        raise NotImplementedError

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        """What metrics.json holds of the product beside its figures."""
        return {}

    def judge(self, path: Path) -> Any:
        """The trained run in a folder, as what judges such outputs. Raises RunError where it can't."""
        raise RunError(f"outputs of the kind {self.type} have no judge", hint="leave judge out")

    def remark(self, found: dict[str, Any]) -> str:
        """A sentence for the end of the verdict, out of its part of metrics.json; empty: none."""
        return ""

    def by_heart(
        self, column: Column, prediction: Prediction, values: np.ndarray, stored: np.ndarray, trained: np.ndarray
    ) -> Any:
        """What of the answers was there already in training, as plain values; None where nobody would ask.

        values: the truth of the same rows. stored: that of all rows, memory-mapped. trained: positions of those that trained.
        """
        return None

    def paired(self, first: Told, second: Told) -> tuple[View, View]:
        """Views of two runs' answers for the same rows, in the same terms."""
        return self.view(*first), self.view(*second)

    def kept(self, column: Column, prediction: Prediction, values: np.ndarray) -> dict[str, np.ndarray]:
        """What predictions.parquet holds beside the prediction itself, rows first, so that it can be read without the column."""
        return {}

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        """The worst errors, worst first, and how many there are. tensors: as in predictions.parquet, with "truth" and what is `kept`."""
        return [], 0

    def which(self, shown: list[Wrong], every: int, rows: int) -> str:
        """Which rows are shown as the worst, in a sentence; `every` are wrong, of so many that were tested."""
        if not self.decides:
            return f"the {len(shown)} largest of {every:,} errors."
        return f"{every:,} of {rows:,} test rows are wrong ({every / rows:.1%}). These are the surest of them."

    def how_wrong(self, wrong: Wrong) -> str:
        """How sure, or how far off, an answer is, in a few words."""
        off = f"{wrong.surety:,.0f}" if 1000 <= wrong.surety < 1e12 else f"{wrong.surety:.4g}"
        return wrong.told or (f"{wrong.surety:.0%}" if self.decides else f"off by {off}")


def task_of(name: str) -> Task:
    """The task of this name. Raises RunError if it is not installed."""
    members = tasks.members()
    if name not in members:
        raise RunError(f"outputs of the kind {name!r} can't be judged here", hint="one of " + ", ".join(members))
    return members[name]()
