"""Classical learners of one training: fitted, blended with the network by what the validation rows say, and fitted once more."""

from __future__ import annotations

from typing import Any

import numpy as np

from dapeng.api.folds import Fold
from dapeng.api.session import Session
from dapeng.columns.base import Column
from dapeng.core.console import warn
from dapeng.data.draws import permutation
from dapeng.data.stored import Store
from dapeng.data.table import some_rows
from dapeng.evaluate.blend import blend_shares
from dapeng.evaluate.candidates import any_learner, chosen_learners, fit_learners, refit_learners
from dapeng.learners.base import Fitted, Inputs, Target
from dapeng.learners.constant import ConstantLearner
from dapeng.product.product import NETWORK, Product, mix
from dapeng.train.validation import truth

MOST_ROWS_FOR_LEARNERS = 500_000
MOST_TOKENS_FOR_LEARNERS = 10_000_000
"""Of texts that are written."""
MOST_BYTES_FOR_LEARNERS = 1 << 28
"""Of the true answers, such as pictures."""


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
    seen = matrices(session, product, rows[:: _every(fold, rows)])
    checked = matrices(session, product, validation) if len(validation) else None
    out: dict[str, dict[str, Fitted]] = {}
    for name, column in product.outputs.items():
        target, known = target_of(fold.store, name, column, seen[1])
        valid = None
        if checked is not None:
            valid_target, valid_known = target_of(fold.store, name, column, checked[1])
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
    refit(session, fold, learnt)
    fold.rows, fold.validation = np.sort(np.concatenate([fold.rows, fold.validation])), np.empty(0, np.int64)


def matrices(session: Session, product: Product, rows: np.ndarray) -> tuple[Inputs, np.ndarray]:
    """What classical learners see of these rows, which rise."""
    if not product.inputs:
        return Inputs({}, {}, count=len(rows)), rows
    return product.matrices(some_rows(session.source, list(product.inputs), rows), session.source.base), rows


def target_of(store: Store, name: str, column: Column, rows: np.ndarray) -> tuple[Target, np.ndarray]:
    values, present = truth(store, name, column, rows)
    weights = (
        np.asarray(store.stored["@weight"].tensors["values"][rows], np.float64) if "@weight" in store.stored else None
    )
    return Target(column, values, weights), np.flatnonzero(present)


def share(session: Session, fold: Fold, learnt: dict[str, dict[str, Fitted]]) -> dict[str, dict[str, float]]:
    """Each member's part of the product, by what the validation rows say; the product gets the learners that have one."""
    spec, product, store, validation = session.spec, fold.product, fold.store, fold.validation
    seen = matrices(session, product, validation) if len(validation) and any(learnt.values()) else None
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


def refit(session: Session, fold: Fold, learnt: dict[str, dict[str, Fitted]]) -> None:
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
    seen, at = matrices(session, product, np.sort(np.concatenate([fold.rows, fold.validation])))
    for name, column in product.outputs.items():
        target, known = target_of(fold.store, name, column, at)
        if not len(known):
            continue
        inputs, target = seen.take(known), target.take(known)
        again = chosen_learners(session.spec, name, inputs, target)
        once_more = {k: f for k, f in learnt[name].items() if k in again}  # a blind guess is none of them
        refit_learners(once_more, again, inputs, target, session.spec.train.seed)
        learnt[name].update(once_more)
        product.learners[name] = {k: learnt[name][k].learner for k in product.learners[name]}
