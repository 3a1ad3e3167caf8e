"""A support vector machine: with a Gaussian kernel on up to ten thousand rows, linear above. A baseline.

Cortes, Vapnik: Support-Vector Networks, 1995. Probabilities: Platt, 1999, one temperature for all classes.
"""

from __future__ import annotations

import time
import warnings
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from dapeng.core.kinds import LearnerOptions, learners
from dapeng.data.draws import permutation
from dapeng.learners.base import Fitted, Inputs, Learner, Target
from dapeng.learners.design import Design
from dapeng.learners.margins import best_temperature, linear_machine, margins_of, softmax

TEMPERATURE_ROWS = 2_000


@learners
class Svm(LearnerOptions):
    """A support vector machine with a Gaussian kernel, linear over 10,000 rows or on n-grams.

    Paper: Cortes, Vapnik: Support-Vector Networks, 1995
    Example: `evaluate: {baselines: [constant, svm]}`
    """

    type: Literal["svm"] = "svm"
    fits: ClassVar[tuple[str, ...]] = ("category", "number")
    strength: float = Field(1.0, gt=0, le=1e6)
    """Inverse regularisation (C)."""
    kernel_rows: int = Field(10_000, ge=10, le=100_000)
    """Most rows that the Gaussian kernel is used on."""

    def reads(self, inputs: Inputs, target: Target) -> bool:
        """Tables and small pictures. On n-grams the linear learner is one already."""
        return not any(sp.issparse(m) for m in inputs.matrices.values())

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        design = Design.fit(inputs)
        x = design.transform(inputs)
        rows = permutation(x.shape[0], seed, 53)[: self._affordable(x, target, seconds)]
        gaussian = x.shape[0] <= self.kernel_rows and not sp.issparse(x)
        model = (
            self._gaussian(target)
            if gaussian
            else linear_machine(len(rows), x.shape[1], target.classes, seconds / 2, self.strength / 10, seed)
        )
        y = target.values[rows]
        weights = None if target.weights is None else target.weights[rows]
        centre, scale = (0.0, 1.0) if target.classes else (float(y.mean()), float(y.std()) or 1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x[rows], y if target.classes else (y - centre) / scale, sample_weight=weights)
        learner = SvmLearner(design, model, target.classes, (centre, scale))
        if target.classes and valid is not None and valid[0].rows:
            some = np.arange(valid[0].rows)[:TEMPERATURE_ROWS]
            learner.temperature = best_temperature(learner.margins(valid[0].take(some)), valid[1].values[some])
        kind = "Gaussian kernel" if gaussian else "linear"
        return Fitted(learner, time.process_time() - began, f"{kind}, {len(rows):,} rows")

    def _affordable(self, x: Any, target: Target, seconds: float) -> int:
        """Rows that fit into the time: the kernel's cost grows with their square (about 2e-9 s a feature and pair of rows)."""
        rows, features = x.shape
        if rows > self.kernel_rows or sp.issparse(x):
            return int(max(1_000, min(rows, seconds * 1e7 / features)))
        several = max(1.0, target.classes / 4)
        return int(max(500, min(rows, np.sqrt(seconds * 4e8 / (features + 20) / several))))

    def _gaussian(self, target: Target) -> Any:
        from sklearn.svm import SVC, SVR

        return (SVC if target.classes else SVR)(C=self.strength, cache_size=200, max_iter=200_000)


class SvmLearner(Learner):
    """A scikit-learn machine over a design matrix. unit: centre and scale of a number."""

    name = "svm"

    def __init__(self, design: Design, model: Any, classes: int, unit: tuple[float, float]):
        self.design, self.model, self.classes, self.unit = design, model, classes, unit
        self.temperature = 1.0

    def margins(self, inputs: Inputs) -> np.ndarray:
        """(N, A) scores; those of classes that weren't seen never win."""
        return margins_of(self.model, self.design.transform(inputs), self.classes)

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        if self.classes:
            return {"probabilities": softmax(self.margins(inputs) * self.temperature).astype(np.float32)}
        found = self.model.predict(self.design.transform(inputs))
        return {"mean": (found * self.unit[1] + self.unit[0]).astype(np.float32)}
