"""The answer that is most frequent in training: the floor of texts that are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs, Target
from dapeng.learners.telling import TellingOptions


@learners
class UsualText(TellingOptions):
    """Answers every row with the training text that is most frequent; of equally frequent ones the first.

    Example: `evaluate: {baselines: [usual_text]}`
    """

    type: Literal["usual_text"] = "usual_text"

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return bool(inputs.columns)

    def learn(self, inputs: Inputs, answers: Sequence[str]) -> Callable[[Inputs], list[str]]:
        usual = Counter(answers).most_common(1)[0][0]
        return lambda rows: [usual] * rows.rows
