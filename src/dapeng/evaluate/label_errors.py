"""Labels that are probably wrong: confident learning over predictions of rows that a model has not seen.

Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels, 2019 (https://arxiv.org/abs/1911.00068).
A quick classical learner answers each row from the others, twice: the second time it has not seen the rows that looked worst
the first time, so that wrong labels don't teach.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.console import say
from dapeng.core.kinds import ColumnOptions, learners
from dapeng.data.draws import permutation
from dapeng.data.prepare import fit_columns
from dapeng.data.table import Source
from dapeng.learners.base import Inputs, Target

FOLDS = 4
FEWEST, MOST = 60, 120_000
"""Rows that are worth a look, and that are looked at."""
LEFT_OUT = 0.1
"""Share of the rows that don't teach the second time, at most."""
LEAST_GAIN = 0.3
"""Of the way from the commonest label to certainty that the learners must go, before they may doubt a label."""
BY_KIND = {"image": "hog", "text": "linear"}
"""The learner for inputs of which one is of this type; trees for all others."""


@dataclass(frozen=True)
class Suspects:
    """Rows of one output, the most suspect first.

    rows: positions. labels: what they say. likely: what they probably are. doubts: (N,) how much likelier that is, -1 to 1.
    called: which of them, as places in the lists, confident learning calls wrong.
    """

    rows: np.ndarray
    labels: list[str]
    likely: list[str]
    doubts: np.ndarray
    called: np.ndarray

    @property
    def count(self) -> int:
        """How many confident learning calls wrong."""
        return len(self.called)

    @property
    def right(self) -> tuple[float, float]:
        """Share of the rows that the learners answer as labelled, and that the commonest label would."""
        return float((self.doubts < 0).mean()), max(Counter(self.labels).values()) / len(self.labels)

    @property
    def telling(self) -> bool:
        """Whether the learners know enough to doubt a label: else hard rows would be called wrong."""
        reached, commonest = self.right
        return reached - commonest >= LEAST_GAIN * (1 - commonest)


def suspects(
    inputs: Mapping[str, ColumnOptions],
    name: str,
    options: ColumnOptions,
    source: Source,
    seconds: float = 60.0,
    seed: int = 0,
) -> Suspects | None:
    """Every row of a category column that has a label, ranked by doubt; None where there are too few rows or classes.

    seconds: CPU time of the learner, about.
    """
    rows = source.count()
    if rows < FEWEST or rows > MOST or not inputs:
        return None
    wanted: dict[str, Any] = {n: (o, False) for n, o in inputs.items()} | {name: (options, True)}
    fitted = fit_columns(source, wanted, lambda start, count: np.ones(count, bool))
    column: Any = fitted[name]
    table = source.read(list(wanted))
    encoded = column.encode(table.column(name), source.base)
    known = np.flatnonzero(np.ones(rows, bool) if encoded.present is None else encoded.present)
    codes = encoded.tensors["codes"][known]
    counts = np.bincount(codes, minlength=len(column.labels))
    if (counts >= 2 * FOLDS).sum() < 2:
        return None
    columns = {n: fitted[n] for n in inputs}
    seen = Inputs(columns, {n: c.matrix(table.column(n), source.base) for n, c in columns.items()}).take(known)
    say(f"looking for wrong labels among {len(known):,} rows of {name}")
    doubts, likely, wrong = _ranked(_answers(seen, column, codes, seconds, seed), codes)
    order = np.argsort(-doubts, kind="stable")
    return Suspects(
        known[order],
        [column.labels[c] for c in codes[order]],
        [column.labels[c] for c in likely[order]],
        doubts[order],
        np.flatnonzero(wrong[order]),
    )


def _answers(seen: Inputs, column: Column, codes: np.ndarray, seconds: float, seed: int) -> np.ndarray:
    """(N, A) probabilities of each row by learners that were not taught by it, nor by the worst of the others."""
    folds = np.empty(len(codes), np.int8)
    order = permutation(len(codes), seed, 71)
    order = order[np.argsort(codes[order], kind="stable")]
    folds[order] = np.arange(len(codes)) % FOLDS  # dealt out like cards, class after class
    began = time.process_time()
    first = _crossed(seen, column, codes, folds, np.ones(len(codes), bool), seconds / 2 / FOLDS, seed)
    spent = time.process_time() - began
    if spent > seconds:
        return first
    doubts, _, wrong = _ranked(first, codes)
    worst = np.argsort(-doubts, kind="stable")[: int(LEFT_OUT * len(codes))]
    teaches = np.ones(len(codes), bool)
    teaches[worst[wrong[worst]]] = False
    return _crossed(seen, column, codes, folds, teaches, max(seconds - spent, 1.0) / FOLDS, seed)


def _crossed(
    seen: Inputs, column: Column, codes: np.ndarray, folds: np.ndarray, teaches: np.ndarray, seconds: float, seed: int
) -> np.ndarray:
    members = learners.fitting("category")
    kinds = {c.type for c in seen.columns.values()}
    tag = next((t for kind, t in BY_KIND.items() if kind in kinds), "trees")
    out = np.zeros((len(codes), len(column.labels)))  # type: ignore[attr-defined]
    for fold in range(FOLDS):
        taught, asked = np.flatnonzero((folds != fold) & teaches), np.flatnonzero(folds == fold)
        held = taught[permutation(len(taught), seed, 73)[: max(len(taught) // 8, 20)]]
        rest = np.setdiff1d(taught, held)
        valid = (seen.take(held), Target(column, codes[held]))
        fitted = members[tag]().fit(seen.take(rest), Target(column, codes[rest]), valid, seconds, seed)
        out[asked] = fitted.learner.predict(seen.take(asked))["probabilities"]
    return out


def _ranked(probabilities: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much likelier the likeliest other class is (N,), which it is, and whether confident learning calls the label wrong."""
    rows = np.arange(len(codes))
    own = probabilities[rows, codes]
    others = probabilities.copy()
    others[rows, codes] = -1
    likely = others.argmax(1)
    doubts = others[rows, likely] - own
    # a class is confidently another where its probability is at least what rows of that class have on average
    counts = np.maximum(np.bincount(codes, minlength=probabilities.shape[1]), 1)
    usual = np.bincount(codes, own, minlength=probabilities.shape[1]) / counts
    usual = np.where(np.bincount(codes, minlength=len(usual)) > 0, usual, 2.0)
    confident = np.where(probabilities >= usual, probabilities, -1.0)
    best = confident.argmax(1)
    return doubts, likely, (confident[rows, best] > 0) & (best != codes)
