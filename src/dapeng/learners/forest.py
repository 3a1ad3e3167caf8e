"""A random forest, grown until the time is over. A baseline.

Breiman: Random Forests, 2001.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from dapeng.core.kinds import LearnerOptions, learners
from dapeng.data.draws import permutation
from dapeng.learners.base import Fitted, Inputs, Learner, Target

MOST_FEATURES = 2_000
CHUNK = 10
PROBE = 2_000
"""Rows of the first tree, which tells how long the others take."""
FEWEST_TREES = 50


@learners
class Forest(LearnerOptions):
    """Random forest: many deep trees, each on a resample of the rows.

    Paper: Breiman: Random Forests, 2001
    Example: `evaluate: {baselines: [constant, forest]}`
    """

    type: Literal["forest"] = "forest"
    fits: ClassVar[tuple[str, ...]] = ("category", "number")
    trees: int = Field(300, ge=1, le=100_000)
    """Most trees; fewer where the time is over before."""
    rows: int = Field(100_000, ge=10)
    """Most rows that it is grown on."""

    def reads(self, inputs: Inputs, target: Target) -> bool:
        """Tables, and pictures of few pixels; n-grams of texts are too many columns."""
        return any(not sp.issparse(m) and m.shape[1] <= MOST_FEATURES for m in inputs.matrices.values())

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        began = time.process_time()
        names = [n for n, m in inputs.matrices.items() if not sp.issparse(m) and m.shape[1] <= MOST_FEATURES]
        x = _table(inputs, names)
        rows = permutation(len(x), seed, 59)[: self.rows]
        weights = None if target.weights is None else target.weights[rows]
        make: Any = RandomForestClassifier if target.classes else RandomForestRegressor
        share: Any = "sqrt" if target.classes else 1 / 3
        model = make(1, warm_start=True, random_state=seed, n_jobs=1, max_features=share)
        model.max_samples = first = min(1.0, PROBE / len(rows))
        one = self._grow(model, 1, x[rows], target.values[rows], weights)
        # enough trees matter more than large ones: where time is short each sees fewer rows
        model.max_samples = min(1.0, max(first, first * seconds / (one * FEWEST_TREES)))
        one *= model.max_samples / first
        while model.n_estimators < self.trees and (left := seconds - (time.process_time() - began)) > one:
            more = max(1, min(CHUNK, int(left / one), self.trees - model.n_estimators))
            one = self._grow(model, model.n_estimators + more, x[rows], target.values[rows], weights) / more
        note = f"{model.n_estimators} trees, {len(rows):,} rows"
        return Fitted(ForestLearner(model, names, target.classes), time.process_time() - began, note)

    def _grow(self, model: Any, trees: int, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        """Grow the forest up to so many trees; returns the CPU seconds that it took."""
        began = time.process_time()
        model.n_estimators = trees
        model.fit(x, y, sample_weight=weights)
        return max(time.process_time() - began, 1e-4)


def _table(inputs: Inputs, names: list[str]) -> np.ndarray:
    """(N, k) float32; nan is missing, which the trees of scikit-learn take."""
    return np.concatenate([np.asarray(inputs.matrices[n], np.float32) for n in names], 1)


class ForestLearner(Learner):
    """A scikit-learn forest and the columns that it reads."""

    name = "forest"

    def __init__(self, model: Any, names: list[str], classes: int):
        self.model, self.names, self.classes = model, names, classes

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        x = _table(inputs, self.names)
        if not self.classes:
            return {"mean": self.model.predict(x).astype(np.float32)}
        out = np.zeros((len(x), self.classes), np.float32)
        out[:, self.model.classes_] = self.model.predict_proba(x)
        return {"probabilities": out}
