"""One training: columns fitted on its rows, a network and learners trained, blended, and asked about the rows that test.

Of several folds, one that has ended lies in the run folder, so that a killed run goes on with the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dapeng.api.cleaning import cleaned
from dapeng.api.session import Session
from dapeng.api.tested import Tested
from dapeng.columns.base import Column
from dapeng.core.checkpoints import Checkpoints
from dapeng.core.console import say, table, warn
from dapeng.core.errors import DataError, Problem, SpecError
from dapeng.core.files import Lines
from dapeng.core.run import FOLDS
from dapeng.core.spec import plain
from dapeng.data.draws import permutation
from dapeng.data.groups import BESIDE, WEIGHT
from dapeng.data.held import Held
from dapeng.data.positions import counts, digest, kept, on_side, ranges
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.stored import Store
from dapeng.data.table import cells_of, some_rows
from dapeng.evaluate.blend import blend_shares
from dapeng.evaluate.candidates import any_learner, chosen_learners, fit_learners, refit_learners
from dapeng.learners.base import Fitted, Inputs, Target
from dapeng.learners.constant import ConstantLearner
from dapeng.models.build import Choices, fresh_model, parameters, with_encoders
from dapeng.models.plan import refuse_too_large
from dapeng.models.predict import predict_rows
from dapeng.product.product import NETWORK, Product, mix
from dapeng.train.network import Trained, train_network
from dapeng.train.setting import packed
from dapeng.train.validation import truth

NETWORK_SHARE = 0.7
"""Of a time limit, where classical learners want some too."""
MOST_ROWS_FOR_LEARNERS = 500_000
MOST_TOKENS_FOR_LEARNERS = 10_000_000
"""Of texts that are written."""
FEW_ROWS = 10_000
"""Training rows under which the validation rows, too, are wanted by the network."""
MOST_VALIDATED = 100_000
"""Rows that validate and are looked at: more would move the figures by less than a thousandth."""
MOST_BYTES_FOR_LEARNERS = 1 << 28
"""Of the true answers, such as pictures."""


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
    # a label that only a fold's other rows have can't be read there; on every row it can, where cells are counted
    max_bad = 1.0 if number is not None and sides is not None else spec.data.max_bad
    beside = _beside(outputs, chosen.roles)
    store = Prepared(inputs, outputs, chosen.roles.get("weight"), max_bad, beside).store(source, session.data)
    every = on_side(given, 0, store.left_out)
    rows = _with_a_target(store, outputs, every)
    _refuse_none(session, outputs, rows)
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


def _beside(outputs: Mapping[str, Column], roles: Mapping[str, str]) -> dict[str, Column]:
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


def finished(session: Session, fold: Fold, tested: np.ndarray) -> Tested:
    """Fit learners, blend, refit, and predict the rows that test; all from this fold's training rows."""
    learnt = fit(session, fold)
    shares = _share(session, fold, learnt)
    _refit(session, fold, learnt)
    _network_anew(session, fold)
    return asked(session, fold, learnt, shares, tested)


def _with_a_target(store: Store, outputs: Mapping[str, Column], rows: np.ndarray) -> np.ndarray:
    """Training rows of which at least one target is known."""
    marks = [m for m in (store.stored[name].present for name in outputs) if m is not None]
    if len(marks) == len(outputs):
        found = kept(rows, (np.logical_or.reduce([m[rows[at]] for m in marks]) for at in ranges(len(rows))))
        rows = rows if len(found) == len(rows) else found
    return rows


def _refuse_none(session: Session, outputs: Mapping[str, Column], rows: np.ndarray) -> None:
    """Raise DataError where no row that trains has a target."""
    if len(rows):
        return
    what = "no row that trains has it: each cell of it is empty, or can't be read"
    hint = f"look at the column in {session.source.name}, or name another output"
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


def fit(session: Session, fold: Fold) -> dict[str, dict[str, Fitted]]:
    """Classical learners of every output, on the same rows, within their share of the time."""
    spec, product, rows, validation = session.spec, fold.product, fold.rows, fold.validation
    if not any(any_learner(spec, column.task) for column in product.outputs.values()):
        return {name: {} for name in product.outputs}  # not one row is then looked at
    spent = fold.trained.cpu_seconds if fold.trained is not None else 0.0
    budget = max(30.0, spec.evaluate.baseline_share * spent)
    left = session.left()
    if left is not None and session.limit is not None:
        # learners count CPU seconds, the limit counts those of the clock: others may have the processor meanwhile
        budget = min(budget, session.pace() * min(0.25 * session.limit / session.parts.count, 0.8 * left))
    seen = _matrices(session, product, rows[:: _every(fold, rows)])
    checked = _matrices(session, product, validation) if len(validation) else None
    out: dict[str, dict[str, Fitted]] = {}
    for name, column in product.outputs.items():
        target, known = _target(fold.store, name, column, seen[1])
        valid = None
        if checked is not None:
            valid_target, valid_known = _target(fold.store, name, column, checked[1])
            valid = (checked[0].take(valid_known), valid_target.take(valid_known)) if len(valid_known) else None
        out[name] = {}
        if not len(known):
            warn(f"{name}: no row that trains has it; what is said of it is a guess")
            continue
        inputs, target = seen[0].take(known), target.take(known)
        wanted = chosen_learners(spec, name, inputs, target)
        out[name] = fit_learners(wanted, inputs, target, valid, budget / max(len(product.outputs), 1), spec.train.seed)
    return out


def _every(fold: Fold, rows: np.ndarray) -> int:
    """Of so many rows one is looked at by learners: more would be too many, or too long to be held as texts."""
    tokens = 0
    for name in fold.product.written:
        offsets = fold.store.stored[name].offsets
        tokens += 0 if offsets is None else int((offsets[rows + 1] - offsets[rows]).sum())
    stored = [
        t
        for n in fold.product.outputs
        for t in fold.store.stored[n].tensors.values()
        if fold.store.stored[n].offsets is None
    ]
    size = len(rows) * sum(int(np.prod(t.shape[1:])) * t.dtype.itemsize for t in stored)
    most = (MOST_ROWS_FOR_LEARNERS, MOST_TOKENS_FOR_LEARNERS, MOST_BYTES_FOR_LEARNERS)
    return max(1, *(-(-amount // bound) for amount, bound in zip((len(rows), tokens, size), most)))


def fit_all(session: Session, fold: Fold) -> dict[str, dict[str, Fitted]]:
    """As `fit`, for a fold without validation rows: a fifth of its rows chooses settings, until `refit_all`."""
    rows = fold.rows
    order = permutation(len(rows), session.spec.train.seed, 43)
    cut = max(len(rows) // 5, 1)
    fold.rows, fold.validation = np.sort(rows[order[cut:]]), np.sort(rows[order[:cut]])
    return fit(session, fold)


def refit_all(session: Session, fold: Fold, learnt: dict[str, dict[str, Fitted]]) -> None:
    """The product's learners once more, on the rows that chose as well."""
    _refit(session, fold, learnt)
    fold.rows, fold.validation = np.sort(np.concatenate([fold.rows, fold.validation])), np.empty(0, np.int64)


def _matrices(session: Session, product: Product, rows: np.ndarray) -> tuple[Inputs, np.ndarray]:
    """What classical learners see of these rows, which rise."""
    if not product.inputs:
        return Inputs({}, {}, count=len(rows)), rows
    return product.matrices(some_rows(session.source, list(product.inputs), rows), session.source.base), rows


def _target(store: Store, name: str, column: Column, rows: np.ndarray) -> tuple[Target, np.ndarray]:
    values, present = truth(store, name, column, rows)
    weights = (
        np.asarray(store.stored["@weight"].tensors["values"][rows], np.float64) if "@weight" in store.stored else None
    )
    return Target(column, values, weights), np.flatnonzero(present)


def _share(session: Session, fold: Fold, learnt: dict[str, dict[str, Fitted]]) -> dict[str, dict[str, float]]:
    """Each member's part of the product, by what the validation rows say; the product gets the learners that have one."""
    spec, product, store, validation = session.spec, fold.product, fold.store, fold.validation
    seen = _matrices(session, product, validation) if len(validation) and any(learnt.values()) else None
    for name, column in product.outputs.items():
        products = {k: f for k, f in learnt[name].items() if f.facts.get("product")}
        if not getattr(getattr(column.options, "loss", None), "shared", True) and fold.trained is not None:
            products = {}  # they predict means, and that is not what is asked
        if spec.model not in ("auto", "network"):
            products = {k: f for k, f in products.items() if f.facts.get("type") == spec.model} or products
        if spec.model == "network" or not (products or fold.trained):
            products = {}
        if not products and fold.trained is None:
            constants = {k: f for k, f in learnt[name].items() if isinstance(f.learner, ConstantLearner)}
            learnt[name].update(constants or {"constant": Fitted(ConstantLearner.blind(column), 0.0)})
            products = {k: f for k, f in learnt[name].items() if isinstance(f.learner, ConstantLearner)}
        each = {k: f.learner.predict(seen[0]) for k, f in products.items()} if seen is not None else {}
        if fold.trained is not None and name in fold.trained.validation:
            each[NETWORK] = fold.trained.validation[name]
        if seen is None or len(each) < 2:
            members = list(each) or ([NETWORK] if fold.trained is not None else list(products))
            shares = {members[0]: 1.0}
        else:
            wanted, present = truth(store, name, column, validation)
            at = np.flatnonzero(present)
            shares = blend_shares(column, {m: {k: v[at] for k, v in p.items()} for m, p in each.items()}, wanted[at])
        if len(validation):
            others = {k: f for k, f in learnt[name].items() if k not in each}
            _settle(fold, name, shares, each | _free_answers(others, seen))
        product.learners[name] = {k: f.learner for k, f in products.items() if shares.get(k, 0) > 0}
        product.shares[name] = dict(shares)
    return {name: dict(shares) for name, shares in product.shares.items()}


def _free_answers(learnt: dict[str, Fitted], seen: tuple[Inputs, np.ndarray] | None) -> dict[str, Any]:
    """What a constant says of the rows: it costs nothing, and must decide as well as it can, too."""
    if seen is None:
        return {}
    return {k: f.learner.predict(seen[0]) for k, f in learnt.items() if isinstance(f.learner, ConstantLearner)}


def _settle(fold: Fold, name: str, shares: dict[str, float], each: dict[str, Any]) -> None:
    """What deciding needs beside each member's prediction and the product's, by the validation rows."""
    column = fold.product.outputs[name]
    wanted, present = truth(fold.store, name, column, fold.validation)
    members = {m: {k: v[present] for k, v in p.items()} for m, p in each.items()}
    if all(m in members for m in shares):
        members["product"] = mix(members, shares)
    settings = {m: column.settle(p, wanted[present]) for m, p in members.items()}
    fold.settled[name] = {m: s for m, s in settings.items() if s}
    column.keep(fold.settled[name].get("product", {}))


def _refit(session: Session, fold: Fold, learnt: dict[str, dict[str, Fitted]]) -> None:
    """Classical learners once more with the validation rows, now that these have chosen everything."""
    product, left = fold.product, session.left()
    spent = sum(f.cpu_seconds for g in learnt.values() for f in g.values() if f.facts.get("product"))
    if (
        not len(fold.validation)
        or not any(product.learners.values())
        or (left is not None and left < 2 * spent)
        or len(fold.rows) > MOST_ROWS_FOR_LEARNERS
    ):
        return
    seen, at = _matrices(session, product, np.sort(np.concatenate([fold.rows, fold.validation])))
    for name, column in product.outputs.items():
        target, known = _target(fold.store, name, column, at)
        if not len(known):
            continue
        inputs, target = seen.take(known), target.take(known)
        again = chosen_learners(session.spec, name, inputs, target)
        once_more = {k: f for k, f in learnt[name].items() if k in again}  # a blind guess is none of them
        refit_learners(once_more, again, inputs, target, session.spec.train.seed)
        learnt[name].update(once_more)
        product.learners[name] = {k: learnt[name][k].learner for k in product.learners[name]}


def _network_anew(session: Session, fold: Fold) -> None:
    """The network once more with the validation rows, over as many epochs and as sharp as these have found; where rows are few."""
    trained, product, spec = fold.trained, fold.product, session.spec
    shared = any(NETWORK in product.members(o) for o in product.outputs)
    plain = (
        spec.train.phases is None
        and spec.train.pretrain is None
        and spec.train.strategy == "single"
        and session.limit is None
    )
    plain = plain and not any(c.unscaled for c in product.outputs.values())
    few = len(fold.rows) <= FEW_ROWS and packed(product.inputs, product.outputs, fold.store) is None
    if trained is None or not len(fold.validation) or not shared or not plain or not few:
        return
    more = _with_a_target(fold.store, product.outputs, fold.validation)
    if not len(more):
        return
    assert product.model is not None
    sharpness = {n: t.clone() for n, t in product.model.state_dict().items() if n.endswith(".sharpness")}
    torch.manual_seed(spec.train.seed)
    product.model = fresh_model(spec, product.inputs, product.outputs, Choices())
    rows = np.sort(np.concatenate([fold.rows, more]))
    none = np.empty(0, np.int64)
    inputs, outputs = product.inputs, product.outputs
    say(f"training the network anew on {len(rows):,} rows, over {trained.epochs:.0f} epochs")
    again = train_network(
        spec, product.model, inputs, outputs, fold.store, rows, none, Choices(), epochs=trained.epochs
    )
    product.model.load_state_dict(sharpness, strict=False)
    trained.cpu_seconds += again.cpu_seconds


def asked(
    session: Session,
    fold: Fold,
    learnt: dict[str, dict[str, Fitted]],
    shares: dict[str, dict[str, float]],
    rows: np.ndarray,
) -> Tested:
    """What the product, its members and the baselines predict for the rows that test this fold."""
    product, out = fold.product, Tested(rows, shares=shares)
    if fold.trained is not None:
        out.best_epoch, out.costs[NETWORK] = fold.trained.best_epoch, fold.trained.cpu_seconds
    for name, fitted in ((n, f) for group in learnt.values() for n, f in group.items()):
        out.roles[name] = "learner" if fitted.facts.get("product") else "baseline"
        out.costs[name] = out.costs.get(name, 0.0) + fitted.cpu_seconds
    if not len(rows):
        return out
    found = out.predictions
    if product.model is not None:
        found[NETWORK] = predict_rows(
            product.model, fold.store, rows, product.outputs, 512, product.device, product.autocast
        )
    if any(learnt.values()):
        seen, _ = _matrices(session, product, rows)
        for output, group in learnt.items():
            for name, fitted in group.items():
                target, _ = _target(fold.store, output, product.outputs[output], rows)
                found.setdefault(name, {})[output] = fitted.learner.judged(seen, target)
    if any("stretch" in p for p in found.get(NETWORK, {}).values()):
        found[NETWORK] = product.quoted(found[NETWORK], lambda name: cells_of(session.source, name, rows))
    for o, column in product.outputs.items():
        for m in (m for m in found if o in found[m]):
            found[m][o] = column.noted(found[m][o], product.inputs, lambda name: cells_of(session.source, name, rows))
    found["product"] = {o: mix({m: found[m][o] for m in s if s[m] > 0}, s) for o, s in product.shares.items()}
    out.settings = {o: s["product"] for o, s in fold.settled.items() if "product" in s}
    for o, settled in fold.settled.items():
        for m in (m for m in found if o in found[m] and m in settled):
            found[m][o] = product.outputs[o].settled(found[m][o], settled[m])
    return out
