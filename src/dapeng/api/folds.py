"""One training: columns fitted on its rows, and a network trained; what becomes of it then stands in `ended`.

Of several folds, one that has ended lies in the run folder, so that a killed run goes on with the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dapeng.api.cleaning import cleaned
from dapeng.api.columns import refuse_unlearnable
from dapeng.api.session import Session
from dapeng.columns.base import Column
from dapeng.core.checkpoints import Checkpoints
from dapeng.core.console import say, table, warn
from dapeng.core.errors import DataError, Problem, SpecError
from dapeng.core.files import Lines
from dapeng.core.run import FOLDS
from dapeng.core.spec import plain
from dapeng.data.groups import BESIDE, WEIGHT
from dapeng.data.held import Held
from dapeng.data.positions import counts, digest, kept, on_side, ranges
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.stored import Store
from dapeng.models.build import Choices, fresh_model, parameters, with_encoders
from dapeng.models.plan import refuse_too_large
from dapeng.product.product import Product
from dapeng.train.network import Trained, train_network
from dapeng.train.setting import packed

NETWORK_SHARE = 0.7
"""Of a time limit, where classical learners want some too."""
MOST_VALIDATED = 100_000
"""Rows that validate and are looked at: more would move the figures by less than a thousandth."""


@dataclass
class Fold:
    """Columns fitted on the training rows of a fold, every row prepared by them, and what was trained on that.

    number: of one of several folds, the last being the training on every row; None where there is one training alone.
    rows, validation: positions that train and that validate. settled: by output and member, what deciding needs beside the
    prediction (`Column.settle`), by the validation rows.
    """

    number: int | None
    product: Product
    store: Store
    rows: np.ndarray
    validation: np.ndarray
    choices: Choices
    trained: Trained | None = None
    untargeted: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """Positions that train and have no target: for phases that need none."""
    beside: dict[str, Column] = field(default_factory=dict)
    """Further columns of a batch, by where they lie in it (`dapeng.data.groups.BESIDE`)."""
    settled: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def first(self) -> bool:
        """True for the training that tells what it does."""
        return not self.number


def opened(session: Session, number: int | None, sides: np.ndarray | None) -> Fold:
    """Fit the columns and prepare the data. sides: (rows,) int8, 0 train and 1 validation; None: every row trains."""
    spec, chosen, source = session.spec, session.chosen, session.source
    choices = session.choices if not number else Choices()
    wanted: dict[str, Any] = {n: (o, False) for n, o in chosen.inputs.items()} | {
        n: (o, True) for n, o in chosen.outputs.items()
    }
    given = cleaned(session, number, np.zeros(session.rows, np.int8) if sides is None else sides)
    kept_apart = isinstance(source, Held) or any(o.reads_files for o in chosen.inputs.values())
    made_of = None if kept_apart else f"{session.data} {digest(given)}"
    fitted = fit_columns(source, wanted, lambda start, count: given[start : start + count] == 0, made_of)
    inputs = with_encoders({n: fitted[n] for n in chosen.inputs}, counts(given)[0], choices)
    outputs = {n: fitted[n] for n in chosen.outputs}
    if number is None or sides is None:
        refuse_unlearnable({n: c for n, c in outputs.items() if not c.options.of_labels})
    # a label that only a fold's other rows have can't be read there; on every row it can, where cells are counted
    max_bad = 1.0 if number is not None and sides is not None else spec.data.max_bad
    beside = beside_of(outputs, chosen.roles)
    store = Prepared(inputs, outputs, chosen.roles.get("weight"), max_bad, beside).store(source, session.data)
    every = on_side(given, 0, store.left_out)
    rows = with_a_target(store, outputs, every)
    refuse_untargeted(session.source.name, outputs, rows)
    store.mixture = session.opened.mixture()
    if store.mixture is not None:
        name = packed(inputs, outputs, store)
        told = store.mixture.told(rows, None if name is None else store.stored[name].offsets, spec.train.seed)
        say(told)
        source.note("info", "data.mixture", told)
    if WEIGHT in store.stored and not store.stored[WEIGHT].tensors["values"][rows].any():
        column = chosen.roles["weight"]
        raise DataError(
            Problem(f"columns.{column}", "every row that trains weighs 0", "give rows that count a weight above 0")
        )
    validation = on_side(given, 1, store.left_out, MOST_VALIDATED, spec.train.seed)
    product = Product(inputs, outputs, None, {}, {n: {} for n in outputs})
    untargeted = np.setdiff1d(every, rows, assume_unique=True)
    return Fold(number, product, store, rows, validation, choices, untargeted=untargeted, beside=beside)


def beside_of(outputs: Mapping[str, Column], roles: Mapping[str, str]) -> dict[str, Column]:
    """Columns whose role is to stand beside the text that is written, read as it is. Raises SpecError where none is."""
    asked = {BESIDE[r]: c for r, c in roles.items() if r in BESIDE}
    written = [c for c in outputs.values() if c.answers == "text"]
    if asked and len(written) != 1:
        name = next(iter(asked.values()))
        what = f"this role is for a run that writes one text, and {len(written)} outputs are texts"
        raise SpecError(Problem(f"columns.{name}", what, "remove it, or name an output of type text"))
    return {key: type(written[0])(name, written[0].options, written[0].state, True) for key, name in asked.items()}


def train(session: Session, fold: Fold, resume: bool, epochs: float | None = None, log_start: int = 0) -> None:
    """Train the network of a fold. epochs: as other folds taught. log_start: where its part of metrics.jsonl begins.

    None is trained where a column promises a direction, which no network here keeps.
    """
    if session.directed:
        return
    spec, product, where = session.spec, fold.product, session.folder.path
    torch.manual_seed(spec.train.seed)
    if fold.first:
        refuse_too_large(spec, product.inputs, product.outputs)
    product.model = fresh_model(spec, product.inputs, product.outputs, fold.choices)
    if fold.first:
        say(f"network: {parameters(product.model):,} parameters")
    alone, choices = fold.number is None, fold.choices
    checkpoints = Checkpoints(where if alone else where / FOLDS / str(fold.number))
    with Lines(where / "metrics.jsonl", log_start, {} if alone else {"fold": fold.number}) as log:
        if resume and not alone and not checkpoints.steps():
            log.cut(0)
            resume = False
        fold.trained = train_network(
            spec,
            product.model,
            product.inputs,
            product.outputs,
            fold.store,
            fold.rows,
            fold.validation,
            choices,
            checkpoints,
            log,
            resume,
            _deadline(session),
            epochs,
            (lambda: _say_choices(choices)) if fold.first else (lambda: None),
            fold.untargeted,
            fold.beside,
        )
    product.beside = fold.trained.beside
    product.autocast, product.device = fold.trained.autocast, fold.trained.device


def _deadline(session: Session) -> float | None:
    """Seconds for one network, where time is limited."""
    left = session.left()
    if left is None or session.limit is None:
        return None
    share = NETWORK_SHARE if session.spec.model == "auto" else 0.92
    runs = session.parts.count + (session.parts.count > 1)
    kept = max(0.08 * session.limit, min(1.0, 0.25 * session.limit))  # to evaluate, and to write the files
    return max(min(share * session.limit / runs, left - kept), 0.1)


def with_a_target(store: Store, outputs: Mapping[str, Column], rows: np.ndarray) -> np.ndarray:
    """Training rows of which at least one target is known."""
    marks = [m for m in (store.stored[name].present for name in outputs) if m is not None]
    if len(marks) == len(outputs):
        found = kept(rows, (np.logical_or.reduce([m[rows[at]] for m in marks]) for at in ranges(len(rows))))
        rows = rows if len(found) == len(rows) else found
    return rows


def refuse_untargeted(name: str, outputs: Mapping[str, Column], rows: np.ndarray) -> None:
    """Raise DataError where no row that trains has a target. name: of the data. rows: those that do."""
    if len(rows):
        return
    what = "no row that trains has it: each cell of it is empty, or can't be read"
    hint = f"look at the column in {name}, or name another output"
    raise DataError([Problem(f"outputs.{n}", what, hint) for n in outputs])


def say_columns(fold: Fold) -> None:
    """The table of what was fitted, and what could not be read."""
    inputs, outputs, store = fold.product.inputs, fold.product.outputs, fold.store
    encoders = {n: plain(c.options)["encoder"]["type"] for n, c in inputs.items()}
    rows = [(n, "input", c.describe(), encoders[n]) for n, c in inputs.items()]
    rows += [(n, "output", c.describe(), "") for n, c in outputs.items()]
    say(table(rows, ("column", "is", "fitted", "encoder")))
    for name, column in [*inputs.items(), *outputs.items()]:
        for remark in column.remarks():
            warn(f"{name}: {remark}")
        for told in column.handled():
            say(f"{name}: {told}")
    for name, column in outputs.items():
        decoder: Any = getattr(column.options, "decoder", None)
        for remark in [] if decoder is None else decoder.remarks(column, store, fold.rows):
            warn(f"{name}: {remark}")
    if len(store.left_out):
        shown = "; ".join(f"{q.where} ({q.column}): {q.reason}" for q in store.quarantined[:3])
        warn(f"{len(store.left_out):,} rows are left out because a cell can't be read: {shown}")


def _say_choices(choices: Choices) -> None:
    rows = [(p, str(v), why) for p, (v, why) in choices.reasons.items() if not p.startswith("inputs.")]
    if rows:
        say(table(rows, ("chosen", "value", "because")))
