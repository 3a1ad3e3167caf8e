"""The boxes that are most frequent, whatever the picture: what a detector that looks at nothing would find."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.average_precision import overlaps
from dapeng.columns.boxes import true_in
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target
from dapeng.learners.placed import laid_out


@learners
class UsualBoxes(LearnerOptions):
    """Answers with the boxes around which those of the training pictures lie thickest, each as sure as it was often right.

    Example: `evaluate: {baselines: [usual_boxes]}`
    """

    type: Literal["usual_boxes"] = "usual_boxes"
    fits: ClassVar[tuple[str, ...]] = ("boxes",)
    free: ClassVar[bool] = True
    most: int = Field(32, ge=1, le=1000)
    """Most boxes of a label; as many as a picture has on average, at least one."""

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return True

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        true, column = true_in(target.values), target.column
        found = [self._usual(true, code, seed) for code in range(len(column.labels))]  # type: ignore[attr-defined]
        return Fitted(UsualBoxesLearner(column, found), time.process_time() - began)

    def _usual(self, true: list[Any], code: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (K, 4) of a label, and the share of pictures in which each would be right."""
        from sklearn.cluster import KMeans

        made: Any = KMeans

        each = [boxes[codes == code] for boxes, codes in true]
        every = np.concatenate(each)
        if not len(every):
            return np.empty((0, 4)), np.empty(0)
        count = min(max(round(len(every) / len(true)), 1), self.most, len(np.unique(every, axis=0)))
        usual = made(count, n_init=2, random_state=seed).fit(every).cluster_centers_
        hit = np.mean([(overlaps(usual, b) >= 0.5).any(1) if len(b) else np.zeros(count, bool) for b in each], 0)
        return usual, hit


class UsualBoxesLearner(Learner):
    """Says the same of every row."""

    name = "usual_boxes"

    def __init__(self, column: Any, found: list[tuple[np.ndarray, np.ndarray]]):
        codes = np.concatenate([np.full(len(boxes), code) for code, (boxes, _) in enumerate(found)])
        self.column = column
        self.found = (np.concatenate([b for b, _ in found]), np.concatenate([h for _, h in found]), codes)

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        one = laid_out([self.found], self.column.max_boxes)
        return {n: np.repeat(t, inputs.rows, 0) for n, t in one.items()}
