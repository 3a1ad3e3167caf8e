"""What a tokeniser does not know is no right answer, in no figure."""

from __future__ import annotations

import numpy as np
import pytest

from dapeng.core.kinds import metrics
from dapeng.metrics.base import value_of
from dapeng.metrics.texts import TextView


def view(said: list[str], texts: list[str]) -> TextView:
    none = np.zeros(len(texts))
    return TextView(np.array(said, object), np.array(texts, object), none, none)


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "rouge_1", "rouge_l", "chrf", "bleu"])
def test_an_unknown_word_that_is_written_where_one_stands_is_not_right(name: str) -> None:
    if name in ("chrf", "bleu"):
        pytest.importorskip("sacrebleu", reason="needs sacrebleu (dapeng[text])")
    metric = metrics.members()[name]()
    known = value_of(metric, view(["it costs 4,296 in all now"], ["it costs 4,296 in all now"]))
    lost = value_of(metric, view(["it costs 4,\ufffd in all now"], ["it costs 4,\ufffd in all now"]))
    assert known == pytest.approx(1.0 if known <= 1 else 100.0)
    assert lost < known * 0.97
