"""From a spec to a proven model in a run folder: the whole way, step by step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from dapeng.api.columns import Chosen, from_data, from_spec
from dapeng.api.judging import judge, save_resolved, save_tested
from dapeng.api.parts import Parts, split_rows
from dapeng.columns.base import Column
from dapeng.core.console import say, table, warn
from dapeng.core.duration import seconds
from dapeng.core.errors import DataError, Problem
from dapeng.core.files import Lines
from dapeng.core.loader import Loaded
from dapeng.core.run import RunFolder
from dapeng.core.spec import Spec, plain
from dapeng.data.held import hold
from dapeng.data.open import Opened, open_data
from dapeng.data.prepare import Prepared, Store, cache_folder, fit_columns, remove
from dapeng.data.table import Source, joined
from dapeng.evaluate.blend import blend_shares
from dapeng.evaluate.candidates import chosen_learners, fit_learners, refit_learners
from dapeng.learners.base import Fitted, Inputs, Target
from dapeng.models.build import Choices, build_model, parameters, with_encoders
from dapeng.models.predict import Predictions, predict_rows
from dapeng.product.files import save
from dapeng.product.product import NETWORK, Product, mix
from dapeng.train.network import Trained, train_network
from dapeng.train.strategies import agreed
from dapeng.train.validation import truth

NETWORK_SHARE = 0.7
"""Of a time limit, where classical learners want some too."""
MOST_ROWS_FOR_LEARNERS = 500_000
FEWEST_ROWS = 8
ROWS_LOOKED_AT = 20_000


@dataclass
class Fold:
    """One training: the product, and what it predicts for the rows that test it."""

    product: Product
    trained: Trained | None
    fitted: dict[str, dict[str, Fitted]]
    shares: dict[str, dict[str, float]]
    tested: np.ndarray
    predictions: dict[str, Predictions] = field(default_factory=dict)
    """By member: product, network, and each learner."""
    truth: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    store: Store | None = None


@dataclass
class Session:
    """What is known while a run is made."""

    loaded: Loaded
    spec: Spec
    folder: RunFolder
    opened: Opened
    source: Source
    rows: int
    chosen: Chosen
    parts: Parts
    choices: Choices = field(default_factory=Choices)
    began: float = field(default_factory=time.monotonic)
    began_cpu: float = field(default_factory=time.process_time)

    @property
    def limit(self) -> float | None:
        given = self.spec.train.time_limit
        return None if given is None else seconds(given)

    def left(self) -> float | None:
        """Seconds until the time limit."""
        return None if self.limit is None else max(self.limit - (time.monotonic() - self.began), 0.1)


def begin(
    loaded: Loaded, folder: RunFolder | None, targets: list[str] | None, objects: Mapping[str, object] | None
) -> Session:
    """Open the data, choose the columns and the split. Nothing is trained yet."""
    spec = loaded.spec
    opened = open_data(spec.data, loaded.folder, objects)
    whole = opened.whole()
    chosen = from_data(whole, targets, dict(spec.columns)) if targets else from_spec(spec, whole)
    if targets:
        spec = spec.model_copy(update={"inputs": chosen.inputs, "outputs": chosen.outputs})
        _say_guesses(chosen)
    source, rows = hold(whole, chosen.needed)
    if not rows:
        raise DataError(Problem(whole.name, "has no rows"))
    if rows < FEWEST_ROWS:
        raise DataError(
            Problem(
                whole.name,
                f"{rows} rows are too few to train and to test on; {FEWEST_ROWS} is the least",
                "give more rows",
            )
        )
    _refuse_hopeless(source, chosen)
    parts = split_rows(spec, chosen, opened, source, rows)
    say(f"data: {whole.name}, {rows:,} rows; {parts.describe()} ({parts.reason})")
    for note in [*opened.notes(), *parts.notes]:
        (warn if note.kind == "warning" else say)(f"{note.kind}: {note.where}: {note.what}")
    _warn_of_traps(source, chosen)
    return Session(loaded, spec, folder or RunFolder(Path("runs")), opened, source, rows, chosen, parts)


def _warn_of_traps(source: Source, chosen: Chosen) -> None:
    """What makes figures too good or labels too many, said before training; `dapeng check` looks at more."""
    from dapeng.data.check import traps

    kinds = {
        n: o.type for n, o in {**chosen.inputs, **chosen.outputs}.items() if o.type in ("number", "category", "text")
    }
    for finding in traps(source.head(ROWS_LOOKED_AT).select(list(kinds)), kinds, list(chosen.outputs)):
        warn(f"{finding.kind}: {finding.text}")


def _say_guesses(chosen: Chosen) -> None:
    rows = [
        (g.name, "output" if g.target else g.role or "input", g.options.get("type", ""), g.reason)
        for g in chosen.guesses
    ]
    say(table(rows, ("column", "is", "type", "because")))


def _refuse_hopeless(source: Source, chosen: Chosen) -> None:
    """A target without values, or with a single one, can't be learnt."""
    problems = []
    for name, options in chosen.outputs.items():
        if options.type != "category":
            continue
        summary: Any = options.summary(True)
        for block in source.blocks([name]):
            summary.add(block.columns.column(name), source.base)
        labels = summary.result()["labels"]
        if not labels:
            problems.append(Problem(f"outputs.{name}", "every cell of the target is missing"))
        elif len(labels) == 1:
            problems.append(
                Problem(f"outputs.{name}", f"only class {labels[0]!r} occurs: there is nothing to tell apart")
            )
        elif len(labels) > 10_000:
            problems.append(
                Problem(f"outputs.{name}", f"{len(labels):,} different labels", f"outputs.{name}=number, or text")
            )
    if problems:
        raise DataError(problems)


def make(session: Session, resume: bool = False) -> Product:
    """Train every fold, keep the last product, judge it, and leave everything in the run folder."""
    spec, folder, parts = session.spec, session.folder, session.parts
    folder.mark("running")
    folds = [_fold(session, sides, number, resume) for number, sides in enumerate(parts.each())]
    if parts.folds is None:
        product = folds[0].product
    else:
        say(f"training on all {session.rows:,} rows, as the folds taught")
        product = _final(session, folds)
    say("evaluating")
    metrics = judge(session, folds)
    facts = {"cross_validation": parts.folds is not None}
    if not any(NETWORK in product.members(o) for o in product.outputs):
        product.model = (
            None  # it was judged, and has no part in the answer: it is neither kept nor measured as if it had
        )
    save(product, spec, folder, facts)
    folder.write_json("metrics.json", metrics)
    save_tested(session, folds)
    save_resolved(session, product)
    for fold in folds:
        if fold.store is not None and fold.store.folder is not None:
            remove(fold.store.folder)
    return product


def make_network_only(session: Session, resume: bool = False) -> None:
    """The part of another rank: it trains the networks with rank 0, and leaves all else to it."""
    for number, sides in enumerate(session.parts.each()):
        _, _, store, _, _, _ = _train_fold(session, sides, number, resume)
        if store.folder is not None:
            remove(store.folder)
    if session.parts.folds is None:
        return
    epochs = agreed(0.0)
    if epochs:
        inputs, outputs, store, rows = _everything(session)
        product = Product(inputs, outputs, None, {}, {n: {} for n in outputs})
        _network(session, product, store, rows, np.empty(0, np.int64), Choices(), False, False, epochs)


def _fold(session: Session, sides: np.ndarray, number: int, resume: bool) -> Fold:
    """Train the network, fit learners, blend, predict the test rows; all from this fold's training rows."""
    product, trained, store, rows, validation, tested = _train_fold(session, sides, number, resume)
    learnt = _learners(session, product, store, rows, validation, trained)
    fold = Fold(product, trained, learnt, {}, tested, store=store)
    _share(session, fold, validation)
    _refit(session, fold, rows, validation)
    _predict_tested(session, fold)
    return fold


def _train_fold(
    session: Session, sides: np.ndarray, number: int, resume: bool
) -> tuple[Product, Trained | None, Store, np.ndarray, np.ndarray, np.ndarray]:
    """Fit the columns, prepare the data, train the network."""
    spec, chosen, source = session.spec, session.chosen, session.source
    alone = session.parts.folds is None
    choices = session.choices if number == 0 else Choices()
    wanted: dict[str, Any] = {n: (o, False) for n, o in chosen.inputs.items()} | {
        n: (o, True) for n, o in chosen.outputs.items()
    }
    fitted = fit_columns(source, wanted, lambda start, count: sides[start : start + count] == 0)
    trains = int((sides == 0).sum())
    inputs = with_encoders({n: fitted[n] for n in chosen.inputs}, trains, choices)
    outputs = {n: fitted[n] for n in chosen.outputs}
    store = Prepared(inputs, outputs, chosen.roles.get("weight"), spec.data.max_bad).store(source, cache_folder())
    sides = sides.copy()
    sides[store.left_out] = -1
    rows, validation, tested = (np.flatnonzero(sides == s) for s in range(3))
    rows = _with_a_target(store, outputs, rows)
    if number == 0:
        _say_columns(session, inputs, outputs, store)
    product = Product(inputs, outputs, None, {}, {n: {} for n in outputs})
    trained = None
    if spec.model in ("auto", "network"):
        trained = _network(session, product, store, rows, validation, choices, resume and alone, alone and number == 0)
    return product, trained, store, rows, validation, tested


def _with_a_target(store: Store, outputs: Mapping[str, Column], rows: np.ndarray) -> np.ndarray:
    """Training rows of which at least one target is known."""
    known = np.zeros(len(rows), bool)
    for name, column in outputs.items():
        known |= truth(store, name, column, rows)[1]
    if not known.any():
        raise DataError("every training row lacks its target")
    return rows[known]


def _say_columns(session: Session, inputs: Mapping[str, Column], outputs: Mapping[str, Column], store: Store) -> None:
    encoders = {n: plain(c.options)["encoder"]["type"] for n, c in inputs.items()}
    rows = [(n, "input", c.describe(), encoders[n]) for n, c in inputs.items()]
    rows += [(n, "output", c.describe(), "") for n, c in outputs.items()]
    say(table(rows, ("column", "is", "fitted", "encoder")))
    for name, column in [*inputs.items(), *outputs.items()]:
        if merged := column.state.get("merged"):
            warn(
                f"{name}: {merged:,} spellings differ only in blanks or invisible characters from a label, and are read as it"
            )
    if len(store.left_out):
        shown = "; ".join(f"{q.where} ({q.column}): {q.reason}" for q in store.quarantined[:3])
        warn(f"{len(store.left_out):,} rows are left out because a cell can't be read: {shown}")


def _network(
    session: Session,
    product: Product,
    store: Store,
    rows: np.ndarray,
    validation: np.ndarray,
    choices: Choices,
    resume: bool,
    first: bool,
    epochs: float | None = None,
) -> Trained:
    spec, folder = session.spec, session.folder
    torch.manual_seed(spec.train.seed)
    product.model = build_model(spec, product.inputs, product.outputs, choices)
    if first:
        say(f"network: {parameters(product.model):,} parameters")
    left = session.left()
    share = NETWORK_SHARE if spec.model == "auto" else 0.92
    runs = session.parts.count + (session.parts.count > 1)
    deadline = None
    if left is not None and session.limit is not None:
        kept = max(0.08 * session.limit, min(1.0, 0.25 * session.limit))  # to evaluate, and to write the files
        deadline = max(min(share * session.limit / runs, left - kept), 0.1)
    log = Lines(folder.path / "metrics.jsonl") if first else None
    try:
        trained = train_network(
            spec,
            product.model,
            product.inputs,
            product.outputs,
            store,
            rows,
            validation,
            choices,
            folder.checkpoints() if first else None,
            log,
            resume,
            deadline,
            epochs,
            (lambda: _say_choices(choices)) if first else (lambda: None),
        )
    finally:
        if log is not None:
            log.close()
    product.autocast, product.device = trained.autocast, trained.device
    return trained


def _say_choices(choices: Choices) -> None:
    rows = [(p, str(v), why) for p, (v, why) in choices.reasons.items() if not p.startswith("inputs.")]
    if rows:
        say(table(rows, ("chosen", "value", "because")))


def _learners(
    session: Session, product: Product, store: Store, rows: np.ndarray, validation: np.ndarray, trained: Trained | None
) -> dict[str, dict[str, Fitted]]:
    """Classical learners of every output, on the same rows, within their share of the time."""
    spec = session.spec
    if spec.model == "network" and spec.evaluate.baselines == [] and not spec.learners:
        return {name: {} for name in product.outputs}
    spent = trained.cpu_seconds if trained is not None else 0.0
    budget = max(30.0, spec.evaluate.baseline_share * spent)
    left = session.left()
    if left is not None and session.limit is not None:
        budget = min(budget, 0.25 * session.limit / session.parts.count, 0.8 * left)
    seen = _matrices(session, product, store, rows[:: max(1, -(-len(rows) // MOST_ROWS_FOR_LEARNERS))])
    checked = _matrices(session, product, store, validation) if len(validation) else None
    out: dict[str, dict[str, Fitted]] = {}
    for name, column in product.outputs.items():
        target, known = _target(session, store, name, column, seen[1])
        valid = None
        if checked is not None:
            valid_target, valid_known = _target(session, store, name, column, checked[1])
            valid = (checked[0].take(valid_known), valid_target.take(valid_known))
        inputs, target = seen[0].take(known), target.take(known)
        wanted = chosen_learners(spec, name, inputs, target)
        out[name] = fit_learners(wanted, inputs, target, valid, budget / max(len(product.outputs), 1), spec.train.seed)
    return out


def _matrices(session: Session, product: Product, store: Store, rows: np.ndarray) -> tuple[Inputs, np.ndarray]:
    """What classical learners see of these rows, which rise."""
    source = session.source
    parts = []
    for block in source.blocks(list(product.inputs)):  # never the whole source: it may be larger than memory
        a, b = np.searchsorted(rows, [block.start, block.start + len(block)])
        if b - a == len(block):
            parts.append(block.columns)
        elif b > a:
            parts.append(block.columns.take(pa.array(rows[a:b] - block.start)))
    return product.matrices(joined(parts), source.base), rows


def _target(session: Session, store: Store, name: str, column: Column, rows: np.ndarray) -> tuple[Target, np.ndarray]:
    values, present = truth(store, name, column, rows)
    weights = (
        np.asarray(store.stored["@weight"].tensors["values"][rows], np.float64) if "@weight" in store.stored else None
    )
    return Target(column, values, weights), np.flatnonzero(present)


def _share(session: Session, fold: Fold, validation: np.ndarray) -> None:
    """Each member's part of the product, by what the validation rows say."""
    spec, product, store = session.spec, fold.product, fold.store
    assert store is not None
    seen = _matrices(session, product, store, validation) if len(validation) and any(fold.fitted.values()) else None
    for name, column in product.outputs.items():
        products = {k: f for k, f in fold.fitted[name].items() if f.facts.get("product")}
        if spec.model in ("trees", "linear"):
            products = {k: f for k, f in products.items() if f.facts.get("type") == spec.model} or products
        if spec.model == "network" or not (products or fold.trained):
            products = {}
        each = {k: f.learner.predict(seen[0]) for k, f in products.items()} if seen is not None else {}
        if fold.trained is not None and name in fold.trained.validation:
            each[NETWORK] = fold.trained.validation[name]
        if seen is None or len(each) < 2:
            members = list(each) or ([NETWORK] if fold.trained is not None else list(products))
            fold.shares[name] = {members[0]: 1.0}
        else:
            wanted, present = truth(store, name, column, validation)
            at = np.flatnonzero(present)
            fold.shares[name] = blend_shares(
                column, {m: {k: v[at] for k, v in p.items()} for m, p in each.items()}, wanted[at]
            )
        kept = {k: f.learner for k, f in products.items() if fold.shares[name].get(k, 0) > 0}
        product.learners[name] = kept
        product.shares[name] = dict(fold.shares[name])


def _refit(session: Session, fold: Fold, rows: np.ndarray, validation: np.ndarray) -> None:
    """Classical learners once more with the validation rows, now that these have chosen everything."""
    product, store, left = fold.product, fold.store, session.left()
    spent = sum(f.cpu_seconds for g in fold.fitted.values() for f in g.values() if f.facts.get("product"))
    if (
        not len(validation)
        or store is None
        or not any(product.learners.values())
        or (left is not None and left < 2 * spent)
        or len(rows) > MOST_ROWS_FOR_LEARNERS
    ):
        return
    seen, at = _matrices(session, product, store, np.sort(np.concatenate([rows, validation])))
    for name, column in product.outputs.items():
        target, known = _target(session, store, name, column, at)
        inputs, target = seen.take(known), target.take(known)
        refit_learners(
            fold.fitted[name],
            chosen_learners(session.spec, name, inputs, target),
            inputs,
            target,
            session.spec.train.seed,
        )
        product.learners[name] = {k: fold.fitted[name][k].learner for k in product.learners[name]}


def _predict_tested(session: Session, fold: Fold) -> None:
    """What the product, its members and the baselines predict for the rows that test this fold."""
    product, store, rows = fold.product, fold.store, fold.tested
    assert store is not None
    if not len(rows):
        return
    if product.model is not None:
        fold.predictions[NETWORK] = predict_rows(
            product.model, store, rows, product.outputs, 512, product.device, product.autocast
        )
    if any(fold.fitted.values()):
        seen, _ = _matrices(session, product, store, rows)
        for output, group in fold.fitted.items():
            for name, fitted in group.items():
                fold.predictions.setdefault(name, {})[output] = fitted.learner.predict(seen)
    fold.predictions["product"] = {
        o: mix({m: fold.predictions[m][o] for m in s if s[m] > 0}, s) for o, s in product.shares.items()
    }
    fold.truth = {n: truth(store, n, c, rows) for n, c in product.outputs.items()}


def _final(session: Session, folds: list[Fold]) -> Product:
    """After cross-validation: one product out of all rows, with the folds' epochs and the mean of their shares."""
    inputs, outputs, store, rows = _everything(session)
    shares = {
        o: {
            m: float(np.mean([f.shares[o].get(m, 0.0) for f in folds])) for m in {m for f in folds for m in f.shares[o]}
        }
        for o in outputs
    }
    product = Product(
        inputs, outputs, None, {}, {o: {m: s for m, s in sorted(g.items()) if s > 0} for o, g in shares.items()}
    )
    none = np.empty(0, np.int64)
    trained = None
    epochs = 0.0
    if any(NETWORK in product.members(o) for o in outputs):
        epochs = max(float(np.median([f.trained.best_epoch for f in folds if f.trained is not None])), 1.0)
    if agreed(epochs):
        trained = _network(session, product, store, rows, none, Choices(), False, False, epochs)
    learnt = _learners(session, product, store, rows, none, trained)
    for output in outputs:
        product.learners[output] = {
            k: f.learner for k, f in learnt[output].items() if product.shares[output].get(k, 0) > 0
        }
    return product


def _everything(session: Session) -> tuple[dict[str, Column], dict[str, Column], Store, np.ndarray]:
    """Inputs, outputs and store, fitted on all rows; and those that can train."""
    chosen, source = session.chosen, session.source
    wanted: dict[str, Any] = {n: (o, False) for n, o in chosen.inputs.items()} | {
        n: (o, True) for n, o in chosen.outputs.items()
    }
    fitted = fit_columns(source, wanted, lambda start, count: np.ones(count, bool))
    inputs = with_encoders({n: fitted[n] for n in chosen.inputs}, session.rows, Choices())
    outputs = {n: fitted[n] for n in chosen.outputs}
    weight, bad = chosen.roles.get("weight"), session.spec.data.max_bad
    store = Prepared(inputs, outputs, weight, bad).store(source, cache_folder())
    rows = _with_a_target(store, outputs, np.setdiff1d(np.arange(store.rows), store.left_out))
    return inputs, outputs, store, rows
