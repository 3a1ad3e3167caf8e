"""What a tokeniser is learnt from stays bounded, however long the stream."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dapeng.columns import written
from dapeng.core.kinds import columns

BOUND = 2_000


@pytest.mark.parametrize("kind", ["bpe", "words"])
def test_counts_stay_bounded_and_common_words_stay_in_them(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "MOST_COUNTED", BOUND)
    spec = {"type": "text", "tokeniser": kind, "decoder": {"type": "gru"}, "vocab_size": 400}
    options = columns.members()["text"].model_validate(spec)
    summary, sizes = options.summary(True), []
    for block in range(40):
        rare = [f"w{block}x{i} common words" for i in range(300)]  # 12,000 words that come once
        summary.add(pa.array(rare))
        sizes.append(len(summary.counts))
    assert max(sizes) <= BOUND
    known = {unit.strip(): count for unit, count in summary.counts.items() if count >= 12_000}
    assert {"common", "words"} <= {unit.lstrip("\u0120\u2581") for unit in known}
    assert set(known.values()) == {12_000}  # not one of them is lost where rare ones are left out
