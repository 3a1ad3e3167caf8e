"""Vectors that say nothing: what retrieval reaches by chance among as many rows."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target


@learners
class ByChance(LearnerOptions):
    """Draws both vectors of a row at random.

    Example: `evaluate: {baselines: [by_chance]}`
    """

    type: Literal["by_chance"] = "by_chance"
    fits: ClassVar[tuple[str, ...]] = ("match",)
    free: ClassVar[bool] = True

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return True

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        return Fitted(ChanceLearner(target.column.options.embed_dim, seed), 0.0)  # type: ignore[attr-defined]


class ChanceLearner(Learner):
    """first, second (N, D): of length 1, in any direction."""

    name = "by_chance"

    def __init__(self, dim: int, seed: int):
        self.dim, self.seed = dim, seed

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        draw = np.random.Generator(np.random.Philox([self.seed, inputs.rows]))
        both = draw.normal(size=(2, inputs.rows, self.dim)).astype(np.float32)
        first, second = both / np.linalg.norm(both, axis=2, keepdims=True)
        return {"first": first, "second": second}
