"""The answer of the training row whose texts are most alike: what translators call a memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp

from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs
from dapeng.learners.sentences import bags, rarity
from dapeng.learners.telling import TellingOptions

MOST = 100_000
"""Training rows that are looked through, evenly chosen."""
AT_ONCE = 2**23
"""Likenesses that are held at once."""


@learners
class NearestText(TellingOptions):
    """Answers as the training row with the most alike texts was answered (TF-IDF of words and pairs of words, cosine).

    Example: `evaluate: {baselines: [nearest_text]}`
    """

    type: Literal["nearest_text"] = "nearest_text"

    def learn(self, inputs: Inputs, answers: Sequence[str]) -> Callable[[Inputs], list[str]]:
        every = -(-inputs.rows // MOST)
        inputs, answers = inputs.take(np.arange(0, inputs.rows, every)), answers[::every]
        counts = _counts(inputs)
        weights = sp.diags(rarity(counts))
        known = _unit(counts @ weights).T.tocsc()

        def answer(rows: Inputs) -> list[str]:
            asked = _unit(_counts(rows) @ weights)
            found: list[int] = []
            block = max(1, AT_ONCE // len(answers))
            for start in range(0, asked.get_shape()[0], block):
                found += np.asarray((asked[start : start + block] @ known).argmax(1)).ravel().tolist()
            return [answers[i] for i in found]

        return answer


def _counts(inputs: Inputs) -> sp.csr_matrix:
    return sp.csr_matrix(sp.hstack([bags(texts) for texts in inputs.texts.values()]))


def _unit(x: sp.csr_matrix) -> sp.csr_matrix:
    lengths = np.sqrt(np.asarray(x.multiply(x).sum(1)).ravel())
    return sp.csr_matrix(sp.diags(1 / np.maximum(lengths, 1e-9)) @ x)
