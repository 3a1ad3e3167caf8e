"""N-gram models against Kneser-Ney written out by its definition, over small corpora; and beside a language model in a run."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import dapeng
from dapeng.core.kinds import columns, learners
from dapeng.generate.kneser_ney import FALLBACK, KneserNey
from dapeng.learners.base import Inputs, Target
from dapeng.learners.ngrams import sequence


def column(texts: list[str], tokeniser: str = "characters"):
    options = columns.members()["text"].model_validate({"type": "text", "tokeniser": tokeniser})
    summary = options.summary(True)
    summary.add(pa.array(texts))
    return options.fitted("t", summary.result(), True)


def made(rows: int, seed: int, letters: str = "abcdef") -> list[str]:
    """Texts in which a letter mostly leads to one of two others."""
    draw = np.random.default_rng(seed)
    out = []
    for _ in range(rows):
        at, text = int(draw.integers(len(letters))), ""
        for _ in range(int(draw.integers(1, 15))):
            text += letters[at]
            at = (at + int(draw.choice([1, 2, 5], p=[0.6, 0.3, 0.1]))) % len(letters)
        out.append(text)
    return out


class ByDefinition:
    """Interpolated Kneser-Ney with three discounts an order, in dictionaries, from Chen and Goodman's equations."""

    def __init__(self, texts: list[list[int]], order: int, written: int):
        self.order, self.written = order, written
        raw: list[Counter] = [Counter() for _ in range(order + 1)]
        for text in texts:
            for end in range(2, len(text) + 1):
                for size in range(1, min(order, end) + 1):
                    raw[size][tuple(text[end - size : end])] += 1
        self.counts: list[Counter] = [Counter() for _ in range(order + 1)]
        begin = texts[0][0]
        for size in range(1, order + 1):
            if size == order:
                self.counts[size] = raw[size]
                continue
            for gram in raw[size + 1]:
                self.counts[size][gram[1:]] += 1
            for gram, count in raw[size].items():
                if size > 1 and gram[0] == begin:
                    self.counts[size][gram] = count
        self.follow: list[dict] = [defaultdict(dict) for _ in range(order + 1)]
        for size in range(1, order + 1):
            for gram, count in self.counts[size].items():
                self.follow[size][gram[:-1]][gram[-1]] = count
        self.off = [None] + [self.discounts(size) for size in range(1, order + 1)]

    def discounts(self, size: int) -> list[float]:
        n = [sum(c == k for c in self.counts[size].values()) for k in range(1, 5)]
        if not all(n):
            return [0.0, *FALLBACK]
        y = n[0] / (n[0] + 2 * n[1])
        return [0.0, 1 - 2 * y * n[1] / n[0], 2 - 3 * y * n[2] / n[1], 3 - 4 * y * n[3] / n[2]]

    def probability(self, context: tuple, token: int) -> float:
        size = len(context) + 1
        below = 1 / self.written if size == 1 else self.probability(context[1:], token)
        seen = self.follow[size].get(context)
        if not seen:
            return below
        off, total = self.off[size], sum(seen.values())
        left = sum(min(off[min(c, 3)], c) for c in seen.values()) / total
        count = seen.get(token, 0)
        return max(count - off[min(count, 3)], 0) / total + left * below


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_those_of_the_definition(order: int) -> None:
    texts = made(60, 0)
    own = column(texts)
    tokens, before = sequence(Target(own, np.array(texts, object)))
    model = KneserNey.counted(tokens, before, order, own.codec.size)
    starts = np.flatnonzero(before == 0)
    split = [t.tolist() for t in np.split(tokens, starts[1:])]
    wanted = ByDefinition(split, order, own.codec.size - 2)
    asked = made(30, 1, "abcdefg")  # one letter that was never seen
    tokens, before = sequence(Target(own, np.array(asked, object)))
    found = model.probabilities(tokens, before)
    for place in np.flatnonzero(before):
        behind = tuple(tokens[place - min(before[place], order - 1) : place].tolist())
        assert found[place] == pytest.approx(wanted.probability(behind, int(tokens[place])), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_of_all_that_may_follow_add_up_to_one(order: int) -> None:
    texts = made(60, 0)
    own = column(texts)
    tokens, before = sequence(Target(own, np.array(texts, object)))
    model = KneserNey.counted(tokens, before, order, own.codec.size)
    for context in (["a"], ["ab"], ["abf"], ["zzz"], ["fedcb"], [""]):
        prefix = [own.codec.bos, *own.codec.encode(context)[0].tolist()]
        every = [i for i in range(own.codec.size) if i not in (own.codec.pad, own.codec.bos)]
        rows = np.concatenate([[*prefix, i] for i in every])
        places = np.tile(np.arange(len(prefix) + 1), len(every))
        found = model.probabilities(rows, places)[len(prefix) :: len(prefix) + 1]
        assert found.sum() == pytest.approx(1.0, abs=1e-9)


def test_texts_that_repeat_are_foretold_better_the_longer_the_context() -> None:
    texts, asked = made(400, 0), made(100, 1)
    own = column(texts)
    nats = []
    for order in (1, 2, 3):
        options = learners.members()[f"ngram_{order}"]()
        target = Target(own, np.array(texts, object))
        fitted = options.fit(Inputs({}, {}, len(texts)), target, None, 10.0, 0)
        found = fitted.learner.judged(Inputs({}, {}, len(asked)), Target(own, np.array(asked, object)))
        assert found["tokens"].tolist() == [len(t) + 1 for t in asked], "the end counts, the begin does not"
        nats.append(found["nats"].sum() / found["tokens"].sum())
    assert nats[0] > nats[1] + 0.5
    assert abs(nats[2] - nats[1]) < 0.1, "a letter depends on the one before it alone"
    steps = [b for t in texts for b in pairwise(t)]
    best = -sum(math.log(p) * s for p, s in ((0.6, 0.6), (0.3, 0.3), (0.1, 0.1)))
    assert len(steps) > 2_000
    assert nats[1] > best, "no model knows more than how the texts were made"


def test_a_run_that_writes_is_shown_beside_n_grams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    decoder = {"type": "llama", "embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
    run = dapeng.train(
        {"t": made(300, 0)},
        outputs={"t": {"type": "text", "tokeniser": "characters", "max_length": 32, "decoder": decoder}},
        train={"steps": 5, "threads": 1},
        evaluate={"resamples": 50},
        data={"split": {"by": "random"}},
    )
    ranked = run.metrics["outputs"]["t"]["leaderboard"]
    assert {"product", "ngram_1", "ngram_2", "ngram_3", "ngram_5"} <= {r["name"] for r in ranked}
    best = ranked[0]
    assert best["name"] in ("ngram_2", "ngram_3"), "five steps teach a network less"
    by = {r["name"]: r["metrics"]["bits_per_byte"]["value"] for r in ranked}
    assert by["ngram_1"] > by["ngram_2"] + 0.5
    said = run.metrics["verdict"]
    assert "gram model" in said
    assert "alone: nothing" not in said, "what is told of n-grams is not told of the network"
    assert not any(r.get("same") for r in ranked if r["name"].startswith("ngram"))
