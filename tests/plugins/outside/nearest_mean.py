"""A classical learner from outside: the class whose mean is nearest."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.files import read_json, write_json
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target


@learners
class NearestMean(LearnerOptions):
    """The class whose mean is nearest.

    Example: `learners: {mine: nearest_mean}`
    """

    type: Literal["nearest_mean"] = "nearest_mean"
    fits: ClassVar[tuple[str, ...]] = ("category",)
    product: ClassVar[bool] = True

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return True

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        x = matrix(inputs)
        means = np.stack([x[target.values == c].mean(0) for c in range(target.classes)])
        return Fitted(NearestMeanLearner(means), 0.0)


def matrix(inputs: Inputs) -> np.ndarray:
    return np.nan_to_num(np.hstack([np.asarray(m, np.float64) for m in inputs.matrices.values()]))


class NearestMeanLearner(Learner):
    name = "nearest_mean"

    def __init__(self, means: np.ndarray):
        self.means = means

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        far = ((matrix(inputs)[:, None] - self.means) ** 2).sum(-1)
        near = np.exp(-8 * (far - far.min(1, keepdims=True)))
        return {"probabilities": (near / near.sum(1, keepdims=True)).astype(np.float32)}

    def save(self, folder: Path) -> None:
        write_json(folder / "means.json", self.means.tolist())

    @classmethod
    def load(cls, folder: Path, columns: dict[str, Column], target: Column) -> NearestMeanLearner:
        return cls(np.array(read_json(folder / "means.json")))
