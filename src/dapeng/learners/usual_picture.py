"""The mean picture of what was asked, and pictures out of the training rows: what drawn pictures are compared with."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.core.kinds import LearnerOptions, learners
from dapeng.data.draws import uniform
from dapeng.learners.base import Fitted, Inputs, Learner, Target

MOST_KINDS = 1_000
"""Kinds of rows that are told apart; with more, all rows are one kind."""
MOST_KEPT = 20_000
"""Training pictures that are drawn from."""


class Kinds:
    """Rows by what is coded in them: labels of categories. Rows that training has not seen are of the first kind, as all are where nothing is coded."""

    def __init__(self, inputs: Inputs):
        rows = self._rows(inputs)
        self.known, self.of_rows = np.unique(rows, axis=0, return_inverse=True)
        self.of_rows = self.of_rows.reshape(-1)
        if len(self.known) > MOST_KINDS:
            self.known, self.of_rows = np.zeros((1, 0)), np.zeros(len(rows), np.int64)

    def _rows(self, inputs: Inputs) -> np.ndarray:
        coded = [np.asarray(m, np.float32) for n, m in inputs.matrices.items() if inputs.columns[n].coded]
        return np.concatenate([np.zeros((inputs.rows, 1), np.float32), *coded], 1)

    def of(self, inputs: Inputs) -> np.ndarray:
        """(N,) the kind of each row."""
        if not self.known.shape[1]:
            return np.zeros(inputs.rows, np.int64)
        places = {tuple(k): i for i, k in enumerate(self.known.tolist())}
        return np.array([places.get(tuple(r), 0) for r in self._rows(inputs).tolist()], np.int64)


@learners
class UsualPicture(LearnerOptions):
    """Answers with the mean picture of the rows whose categories are the same.

    Example: `evaluate: {baselines: [usual_picture]}`
    """

    type: Literal["usual_picture"] = "usual_picture"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    free: ClassVar[bool] = True

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return True

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        kinds = Kinds(inputs)
        each = [np.mean(target.values[kinds.of_rows == k], 0, dtype=np.float32) for k in range(len(kinds.known))]
        return Fitted(UsualPictureLearner(kinds, np.stack(each).round().astype(np.uint8)), time.process_time() - began)


class UsualPictureLearner(Learner):
    """pictures: (K, C, Y, X) of each kind of row."""

    name = "usual_picture"

    def __init__(self, kinds: Kinds, pictures: np.ndarray):
        self.kinds, self.pictures = kinds, pictures

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        return {"pixels": self.pictures[self.kinds.of(inputs)]}


@learners
class TrainingPictures(LearnerOptions):
    """Answers with a training picture of the same categories, by chance: real pictures, as good as any that are drawn could be.

    Example: `evaluate: {baselines: [training_pictures]}`
    """

    type: Literal["training_pictures"] = "training_pictures"
    fits: ClassVar[tuple[str, ...]] = ("image",)
    free: ClassVar[bool] = True

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return True

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        kinds = Kinds(inputs)
        places = [
            np.flatnonzero(kinds.of_rows == k)[: max(1, MOST_KEPT // len(kinds.known))] for k in range(len(kinds.known))
        ]
        return Fitted(TrainingPicturesLearner(kinds, [np.asarray(target.values[p]) for p in places], seed), 0.0)


class TrainingPicturesLearner(Learner):
    """pictures: of each kind of row, (N, C, Y, X)."""

    name = "training_pictures"

    def __init__(self, kinds: Kinds, pictures: list[np.ndarray], seed: int):
        self.kinds, self.pictures, self.seed = kinds, pictures, seed

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        chance = uniform(np.arange(inputs.rows), 1, self.seed, 71)[:, 0]
        each: list[Any] = [self.pictures[k] for k in self.kinds.of(inputs)]
        taken = [pictures[int(c * len(pictures))] for pictures, c in zip(each, chance)]
        return {"pixels": np.stack(taken) if taken else self.pictures[0][:0]}
