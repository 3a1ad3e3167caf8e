"""What learners that answer with a text have in common: they look at texts, and are kept nowhere, since they are baselines."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from dapeng.core.kinds import LearnerOptions
from dapeng.learners.base import Fitted, Inputs, Learner, Target


class TellingOptions(LearnerOptions):
    """A baseline for texts that are written from texts."""

    type: str
    fits: ClassVar[tuple[str, ...]] = ("text",)

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return bool(inputs.texts)

    @abstractmethod
    def learn(self, inputs: Inputs, answers: Sequence[str]) -> Callable[[Inputs], list[str]]:
        """What answers rows, out of rows with their answers."""

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        answer = self.learn(inputs, [str(v) for v in target.values])
        return Fitted(Telling(self.type, answer, target.column), time.process_time() - began)


class Telling(Learner):
    """Answers with texts, in the layout of what a network writes."""

    def __init__(self, name: str, answer: Callable[[Inputs], list[str]], column: Any):
        self.name, self.answer, self.column = name, answer, column

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        return self.column.told(self.answer(inputs))


def longest_input(inputs: Inputs) -> list[str]:
    """The texts of the input whose texts are longest."""
    return max(inputs.texts.values(), key=lambda texts: sum(map(len, texts)))
