"""The floor: the classes' or labels' frequencies, or the mean."""

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
    """Predicts the classes' or labels' frequencies, or the mean, whatever the input.

    Example: `evaluate: {baselines: [constant]}`
    """

    type: Literal["constant"] = "constant"
    fits: ClassVar[tuple[str, ...]] = ("category", "number", "set", "vector")
    free: ClassVar[bool] = True
    directed: ClassVar[bool] = True

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return True

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        weights = target.weights if target.weights is not None else np.ones(len(target.values))
        if target.classes:
            counts = np.bincount(target.values, weights, target.classes)
            return Fitted(ConstantLearner((counts / counts.sum()).tolist(), True), 0.0)
        mean = np.average(target.values, 0, weights)
        if mean.ndim:
            return Fitted(ConstantLearner(mean.tolist(), True, "probabilities" if target.tags else "mean"), 0.0)
        return Fitted(ConstantLearner([float(mean)], False, "mean"), 0.0)


class ConstantLearner(Learner):
    """values: a probability for each class or label, or one mean, or one for each number of a vector.

    classes: every row gets all values, rather than the only one. tensor: of the prediction.
    """

    name = "constant"

    def __init__(self, values: list[float], classes: bool, tensor: str = "probabilities"):
        self.values, self.classes, self.tensor = values, classes, tensor if classes else "mean"

    @classmethod
    def blind(cls, column: Column) -> ConstantLearner:
        """What is left to say where no training row has the target: every label alike, or 0."""
        tensor, dims = next(iter(column.predictions().items()))
        sizes = dims.sizes(B=1)[1:]
        if not sizes:
            return cls([0.0], False)
        return cls([1 / sizes[0] if tensor == "probabilities" else 0.0] * sizes[0], True, tensor)

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        if not self.classes:
            return {"mean": np.full(inputs.rows, self.values[0], np.float32)}
        return {self.tensor: np.tile(np.array(self.values, np.float32), (inputs.rows, 1))}

    def save(self, folder: Path) -> None:
        write_json(folder / "constant.json", {"values": self.values, "classes": self.classes, "tensor": self.tensor})

    @classmethod
    def load(cls, folder: Path, columns: dict[str, Column], target: Column) -> ConstantLearner:
        about = read_json(folder / "constant.json")
        return cls(about["values"], about["classes"], about.get("tensor", "probabilities"))
