"""Classical learners: baselines that a sceptic asks for, and products where they win.

A learner sees matrices that the columns make (`Column.matrix`) and predicts in the layout of the output column
(`Column.predictions`), like a network. Legend: N rows, k features, A classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.columns.base import Column, strings

Matrix = Any
"""(N, k) float32 array with nan for missing, or a scipy CSR matrix."""


@dataclass
class Inputs:
    """Rows as learners see them: one matrix a column, in the order of the columns.

    cells: of columns whose cells are looked at as they are, by learners that write texts or find things in pictures.
    """

    columns: dict[str, Column]
    matrices: dict[str, Matrix]
    cells: dict[str, pa.ChunkedArray] = field(default_factory=dict)
    count: int = 0
    """Rows, where there is no column to tell them."""
    base: Path | None = None
    """The folder that paths in cells start from."""

    @property
    def rows(self) -> int:
        if self.matrices:
            return next(iter(self.matrices.values())).shape[0]
        return len(next(iter(self.cells.values()))) if self.cells else self.count

    @property
    def texts(self) -> dict[str, list[str]]:
        """The texts of input columns that are such; "" where there is none."""
        found = {n: strings(c).to_pylist() for n, c in self.cells.items() if self.columns[n].type == "text"}
        return {n: [t or "" for t in texts] for n, texts in found.items()}

    @property
    def directions(self) -> dict[str, int]:
        """Columns with which predictions may only rise (1) or fall (-1)."""
        return {n: c.direction for n, c in self.columns.items() if c.direction}

    def take(self, rows: np.ndarray) -> Inputs:
        at = pa.array(rows)
        matrices = {n: m[rows] for n, m in self.matrices.items()}
        return Inputs(self.columns, matrices, {n: c.take(at) for n, c in self.cells.items()}, len(rows), self.base)


@dataclass
class Target:
    """One output: codes (N,) int64, flags of labels (N, A) bool, values (N,) or (N, D) float64 in the user's units.

    Which of these, `Column.truth` says; learners go by the form, not by the column's type. weights: (N,) or None.
    """

    column: Column
    values: np.ndarray
    weights: np.ndarray | None = None

    @property
    def classes(self) -> int:
        """Number of classes of which each row has one; 0 for anything else."""
        codes = self.values.ndim == 1 and self.values.dtype.kind in "iu"
        return len(self.column.labels) if codes else 0  # type: ignore[attr-defined]

    @property
    def sign(self) -> int:
        """1 where what rises with a column is the number or the second of two classes, -1 where it is the first of two."""
        return -1 if self.classes == 2 and self.column.positive == 0 else 1  # type: ignore[attr-defined]

    @property
    def tags(self) -> int:
        """Number of labels of which each row has any number; 0 for anything else."""
        return self.values.shape[1] if self.values.dtype.kind == "b" and self.values.ndim == 2 else 0

    def take(self, rows: np.ndarray) -> Target:
        return Target(self.column, self.values[rows], None if self.weights is None else self.weights[rows])


class Learner(ABC):
    """A fitted learner for one output."""

    name: str

    @abstractmethod
    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """{"probabilities": (N, A)}, or {"mean": (N,) or (N, D)}."""

    def judged(self, inputs: Inputs, target: Target) -> dict[str, np.ndarray]:
        """As `predict`, beside the true answers: of those that say how likely these were, and answer nothing by themselves."""
        return self.predict(inputs)

    def adds(self, inputs: Inputs) -> list[dict[str, float]] | None:
        """For each row, what each column adds to a number, where the learner can tell; None where it can't."""
        return None

    def save(self, folder: Path) -> None:
        """Into a folder of its own, without pickle: JSON, safetensors, LightGBM's text."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, columns: dict[str, Column], target: Column) -> Learner:
        raise NotImplementedError


@dataclass
class Fitted:
    """A learner and what it cost."""

    learner: Learner
    cpu_seconds: float
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
