"""One label for every pixel: what an answer is worth that looks at nothing."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.mask import confusions, mean_dice
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target
from dapeng.learners.placed import pictures_of


@learners
class OneLabel(LearnerOptions):
    """Gives all pixels the label that is best in training: often the only one that is no background.

    Example: `evaluate: {baselines: [one_label]}`
    """

    type: Literal["one_label"] = "one_label"
    fits: ClassVar[tuple[str, ...]] = ("mask",)
    free: ClassVar[bool] = True

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return target.column.of in inputs.cells

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        column: Any = target.column
        values = target.values
        labels = len(column.labels)
        every = [confusions(np.full_like(values, c), values, labels).sum(0, keepdims=True) for c in range(labels)]
        best = int(np.argmax([mean_dice(b, column.background)[0] for b in every]))
        return Fitted(OneLabelLearner(str(column.of), column, best), 0.0)


class OneLabelLearner(Learner):
    """code: of the label."""

    name = "one_label"

    def __init__(self, picture: str, column: Any, code: int):
        self.picture, self.column, self.code = picture, column, code

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        affine = np.stack([a for _, a in pictures_of(inputs, self.picture)])
        codes = np.full((inputs.rows, *self.column.frame), self.code, np.uint8)
        shares = np.tile(np.eye(len(self.column.labels), dtype=np.float32)[self.code], (inputs.rows, 1))
        return {"codes": codes, "shares": shares, "affine": affine}
