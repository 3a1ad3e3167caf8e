"""The floor: the most frequent class, or the mean."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.files import read_json, write_json
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target


@learners
class Constant(LearnerOptions):
    """Predicts the classes' frequencies, or the mean, whatever the input.

    Example: `evaluate: {baselines: [constant]}`
    """

    type: Literal["constant"] = "constant"
    fits: ClassVar[tuple[str, ...]] = ("category", "number")
    free: ClassVar[bool] = True

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return True

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        weights = target.weights if target.weights is not None else np.ones(len(target.values))
        if target.classes:
            counts = np.bincount(target.values, weights, target.classes)
            return Fitted(ConstantLearner((counts / counts.sum()).tolist(), True), 0.0)
        return Fitted(ConstantLearner([float(np.average(target.values, weights=weights))], False), 0.0)


class ConstantLearner(Learner):
    """values: a probability for each class, or one mean."""

    name = "constant"

    def __init__(self, values: list[float], classes: bool):
        self.values, self.classes = values, classes

    @classmethod
    def blind(cls, column: Column) -> ConstantLearner:
        """What is left to say where no training row has the target: every class alike, or 0."""
        labels = getattr(column, "labels", None)
        return cls([1 / len(labels)] * len(labels), True) if labels else cls([0.0], False)

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        if not self.classes:
            return {"mean": np.full(inputs.rows, self.values[0], np.float32)}
        return {"probabilities": np.tile(np.array(self.values, np.float32), (inputs.rows, 1))}

    def save(self, folder: Path) -> None:
        write_json(folder / "constant.json", {"values": self.values, "classes": self.classes})

    @classmethod
    def load(cls, folder: Path, columns: dict[str, Column], target: Column) -> ConstantLearner:
        about = read_json(folder / "constant.json")
        return cls(about["values"], about["classes"])
