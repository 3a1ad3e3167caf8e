"""Permutation importance: how much worse the whole product gets when the cells of one column are dealt out anew.

Breiman: Random Forests, 2001; Fisher, Rudin, Dominici, 2019 (https://arxiv.org/abs/1801.01489). Intervals are of the percentile
bootstrap (Efron, 1979): the rows are drawn again, and so is which of the deals are
looked at; the scores before and after see the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.columns.base import Column
from dapeng.data.draws import key, permutation
from dapeng.data.table import Frame, Source
from dapeng.evaluate.bootstrap import FEWEST, interval
from dapeng.product.product import Product
from dapeng.train.validation import score

MOST_ROWS = 2_000
FEWEST_ROWS = 50
REPEATS = 3
CONFIDENCE = 0.95
RESAMPLES = 200
SHARE = 0.5
"""Of the time, beside it, that intervals may take."""


@dataclass(frozen=True)
class Answered:
    """What the product says of the rows of one output that it can read: tensors (n, ...), wanted (n,), place (N,) or -1 of a row."""

    column: Column
    tensors: Mapping[str, np.ndarray]
    wanted: np.ndarray
    place: np.ndarray

    def score(self, rows: np.ndarray | None = None) -> float:
        """The headline score, larger is better; rows: with repetition, among all N."""
        if rows is None:
            return float(score(self.column, self.tensors, self.wanted))
        at = self.place[rows]
        at = at[at >= 0]
        return float(score(self.column, {k: v[at] for k, v in self.tensors.items()}, self.wanted[at]))


def importance(product: Product, source: Source, seconds: float, seed: int = 0) -> dict[str, Any]:
    """By output, for each column the mean drop of the headline score, its spread over the repeats, and its interval (low, high; None
    where there is no time for one); and how that was measured.

    Fewer rows or repeats where time is short.
    """
    began = time.process_time()
    names = [n for n in [*product.inputs, *product.outputs] if n in source.names]
    table = source.read(names)
    rows = min(table.num_rows, MOST_ROWS)
    small = table.slice(0, min(rows, FEWEST_ROWS))
    each = _seconds(product, small, source) / max(small.num_rows, 1)
    rounds = REPEATS * len(product.inputs) + 1
    affordable = int(seconds / max(each * rounds, 1e-9))
    repeats = REPEATS if affordable >= FEWEST_ROWS else 1
    rows = max(min(rows, affordable if repeats == REPEATS else affordable * REPEATS), min(rows, FEWEST_ROWS))
    if rows < table.num_rows:
        table = table.take(pa.array(np.linspace(0, table.num_rows - 1, rows).astype(np.int64)))
    whole = _answers(product, table, source)
    dealt_out: dict[str, dict[str, list[Answered]]] = {o: {} for o in whole}
    skipped = []
    for number, name in enumerate(product.inputs):
        if time.process_time() - began > 1.5 * seconds:
            skipped.append(name)
            continue
        for repeat in range(repeats):
            order = permutation(table.num_rows, seed, number, repeat)
            at = table.column_names.index(name)
            dealt = table.set_column(at, name, table.column(name).take(pa.array(order)))
            for output, found in _answers(product, dealt, source).items():
                dealt_out[output].setdefault(name, []).append(found)
    draws = Draws(table.num_rows, repeats, seed)
    draws.keep_to(whole, len(product.inputs), SHARE * seconds)
    out = {o: _listed(whole[o], columns, draws) for o, columns in dealt_out.items()}
    scores = {o: a.score() for o, a in whole.items()}
    measured = {"scores": scores, "rows": table.num_rows, "repeats": repeats, "not_measured": skipped}
    return {"importance": out, "measured": {**measured, "confidence": CONFIDENCE, "resamples": draws.count}}


class Draws:
    """Rows (count, N) and repeats (count, R), drawn with repetition: the same for every column and output."""

    def __init__(self, rows: int, repeats: int, seed: int):
        random = np.random.Generator(np.random.Philox(int(key(seed, 67))))
        self.rows = random.integers(0, rows, (RESAMPLES, rows), np.int32)
        self.repeats = random.integers(0, repeats, (RESAMPLES, repeats))
        self.count = RESAMPLES

    def keep_to(self, whole: Mapping[str, Answered], columns: int, seconds: float) -> None:
        """As many as there is time for, or none where these would be too few."""
        began = time.process_time()
        for answered in whole.values():
            answered.score(self.rows[0])
        each = (time.process_time() - began) * (1 + columns * self.repeats.shape[1])
        self.count = min(RESAMPLES, int(seconds / max(each, 1e-9)))
        self.count = self.count if self.count >= FEWEST else 0


def _listed(whole: Answered, columns: Mapping[str, list[Answered]], draws: Draws) -> list[dict[str, Any]]:
    """For each column its drop with an interval, the largest first."""
    score = whole.score()
    scores = np.array([whole.score(rows) for rows in draws.rows[: draws.count]])
    out = []
    for name, dealt in columns.items():
        drops = [score - d.score() for d in dealt]
        each = np.array([[d.score(rows) for d in dealt] for rows in draws.rows[: draws.count]]).reshape(-1, len(dealt))
        again = scores - np.take_along_axis(each, draws.repeats[: draws.count], 1).mean(1)
        found = interval(float(np.mean(drops)), again, CONFIDENCE)
        out.append({"column": name, "importance": found.value, "spread": float(np.std(drops))})
        out[-1] |= {"low": found.low, "high": found.high}
    return sorted(out, key=lambda c: -c["importance"])


def _seconds(product: Product, table: pa.Table, source: Source) -> float:
    product.predict(Frame(table.slice(0, 2), source.name, source.base))  # what is loaded at first use is not counted
    began = time.process_time()
    product.predict(Frame(table, source.name, source.base))
    return time.process_time() - began


def _answers(product: Product, table: pa.Table, source: Source) -> dict[str, Answered]:
    """By output, what the product says of the rows whose truth is known."""
    answer = product.predict(Frame(table, source.name, source.base))
    out = {}
    for name, column in product.outputs.items():
        if name not in table.column_names:
            continue
        encoded = column.encode(table.column(name), source.base)
        known = np.ones(table.num_rows, bool) if encoded.present is None else encoded.present.copy()
        known[encoded.bad.rows] = False
        kept = known[answer.rows]
        wanted = column.truth(encoded.tensors)
        if kept.any():
            found = {k: v[kept] for k, v in answer.tensors[name].items()}
            place = np.full(table.num_rows, -1)
            place[answer.rows[kept]] = np.arange(kept.sum())
            out[name] = Answered(column, found, wanted[answer.rows][kept], place)
    return out
