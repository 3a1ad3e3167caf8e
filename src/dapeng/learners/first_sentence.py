"""The first sentence of what is read: a summary that is hard to beat in news, and a copy where the input is a single one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs
from dapeng.learners.sentences import sentences
from dapeng.learners.telling import TellingOptions, longest_input


@learners
class FirstSentence(TellingOptions):
    """Answers with the first sentence of the longest text input.

    Example: `evaluate: {baselines: [first_sentence]}`
    """

    type: Literal["first_sentence"] = "first_sentence"

    def learn(self, inputs: Inputs, answers: Sequence[str]) -> Callable[[Inputs], list[str]]:
        return lambda rows: [sentences(t)[0] for t in longest_input(rows)]
