"""The first rows prepared as training prepares all of them, so that what it would refuse is known before it begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dapeng.api.columns import Chosen, refuse_unlearnable
from dapeng.api.folds import beside_of, refuse_untargeted, with_a_target
from dapeng.columns.base import Column
from dapeng.core.spec import Spec
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.stored import Store
from dapeng.data.table import Head, Source
from dapeng.models.build import Choices, with_encoders
from dapeng.models.plan import refuse_too_large

LOOKED_AT = 500
"""Rows that are prepared."""
SURELY = 0.5
"""Share of unreadable cells among the first rows from which on the others are taken to be like them."""


@dataclass(frozen=True)
class Trial:
    """Columns fitted on the first rows, encoders decided, and these rows prepared."""

    inputs: dict[str, Column]
    targets: dict[str, Column]
    store: Store


def tried(spec: Spec, chosen: Chosen, source: Source, sides: np.ndarray | None) -> Trial:
    """Fit and prepare the first rows. sides: (rows,) int8 of a single split, 0 train; None: every row trains.

    Raises DataError or SpecError for what training would refuse: labels that the spec doesn't know, too many unreadable cells, ...
    """
    total, some = source.count(), Head(source, LOOKED_AT)
    every = total <= LOOKED_AT
    train = np.ones(min(total, LOOKED_AT), bool)
    if sides is not None and every and (sides == 0).any():
        train = sides == 0
    wanted = {n: (o, False) for n, o in chosen.inputs.items()} | {n: (o, True) for n, o in chosen.outputs.items()}
    fitted = fit_columns(some, wanted, lambda start, count: train[start : start + count])
    inputs = with_encoders({n: fitted[n] for n in chosen.inputs}, total, Choices())
    targets = {n: fitted[n] for n in chosen.outputs}
    if every:
        refuse_unlearnable({n: c for n, c in targets.items() if not c.options.of_labels})
    weight, most = chosen.roles.get("weight"), _most_bad(spec.data.max_bad, total)
    store = Prepared(inputs, targets, weight, most, beside_of(targets, chosen.roles)).store(some)
    if every:
        rows = np.setdiff1d(np.flatnonzero(train), store.left_out)
        refuse_untargeted(source.name, targets, with_a_target(store, targets, rows))
    if spec.model in ("auto", "network"):
        refuse_too_large(spec, inputs, targets)
    return Trial(inputs, targets, store)


def _most_bad(max_bad: float, total: int) -> float:
    """The share of unreadable cells among the first rows from which on training is sure, or as good as sure, to refuse them all."""
    if total <= LOOKED_AT:
        return max_bad
    return max(max_bad, min(SURELY, max_bad * total / LOOKED_AT))
