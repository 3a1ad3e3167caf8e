"""The answer of the training row whose picture (or sound, or numbers) is most alike, for texts that are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs, Target
from dapeng.learners.telling import TellingOptions

MOST = 10_000
"""Training rows that are looked through, evenly chosen."""
AT_ONCE = 1 << 24


@learners
class NearestPicture(TellingOptions):
    """Answers as the training row with the nearest small picture (or other numbers that classical learners see) was answered.

    Example: `evaluate: {baselines: [nearest_picture]}`
    """

    type: Literal["nearest_picture"] = "nearest_picture"

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return any(inputs.columns[n].type != "text" for n in inputs.cells)

    def learn(self, inputs: Inputs, answers: Sequence[str]) -> Callable[[Inputs], list[str]]:
        every = -(-inputs.rows // MOST)
        known, answers = _numbers(inputs.take(np.arange(0, inputs.rows, every))), answers[::every]
        mean, scale = known.mean(0), known.std(0) + 1e-6
        known = (known - mean) / scale
        sizes = (known**2).sum(1)

        def answer(rows: Inputs) -> list[str]:
            asked, found = (_numbers(rows) - mean) / scale, []
            block = max(1, AT_ONCE // len(answers))
            for start in range(0, len(asked), block):
                found += (sizes - 2 * asked[start : start + block] @ known.T).argmin(1).tolist()
            return [str(answers[i]) for i in found]

        return answer


def _numbers(inputs: Inputs) -> np.ndarray:
    """(N, k) of all inputs that are no texts; what is missing is 0."""
    seen = {n: c for n, c in inputs.cells.items() if inputs.columns[n].type != "text"}
    parts = [np.asarray(inputs.columns[n].matrix(c, inputs.base), np.float32) for n, c in seen.items()]
    return np.nan_to_num(np.concatenate(parts, 1))
