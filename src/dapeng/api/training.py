"""From a session to a proven model in its run folder: every fold trained, the last product kept, judged, and left there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dapeng.api import ended, folds, learning
from dapeng.api.folds import Fold
from dapeng.api.judging import judge, save_resolved, save_tested
from dapeng.api.session import Session
from dapeng.api.tested import Tested
from dapeng.core.console import say
from dapeng.core.run import FOLDS
from dapeng.data.positions import on_side
from dapeng.evaluate.blend import blend_shares
from dapeng.learners.constant import ConstantLearner
from dapeng.product.files import save
from dapeng.product.product import NETWORK, Product, mix
from dapeng.train.strategies import agreed
from dapeng.train.validation import truth


def make(session: Session, resume: bool = False) -> Product:
    """Train every fold, keep the last product, judge it, and leave everything in the run folder."""
    session.folder.mark("running", data=session.data)
    fold, tested = _single(session, resume) if session.parts.folds is None else _cross_validated(session, resume)
    product = fold.product
    say("evaluating")
    metrics = judge(session, fold, tested)
    if not any(NETWORK in product.members(o) for o in product.outputs):
        product.model = (
            None  # it was judged, and has no part in the answer: it is neither kept nor measured as if it had
        )
    save(
        product,
        session.spec,
        session.folder,
        {"cross_validation": session.parts.folds is not None and not session.parts.held},
    )
    session.folder.write_json("metrics.json", metrics)
    save_tested(session, fold, tested)
    save_resolved(session, product)
    return product


def make_network_only(session: Session, resume: bool = False) -> None:
    """The part of another rank: it trains the networks with rank 0, and leaves all else to it."""
    if session.parts.folds is None:
        fold = folds.opened(session, None, session.parts.sides)
        if session.spec.model in ("auto", "network"):
            folds.train(session, fold, resume)
        return
    for number, sides in enumerate(session.parts.each()):
        if not (resume and _file(session, number).is_file()) and session.spec.model in ("auto", "network"):
            folds.train(session, folds.opened(session, number, sides), resume)
    epochs = agreed(0.0)
    if epochs:
        folds.train(session, folds.opened(session, session.parts.count, session.parts.final), resume, epochs)


def _single(session: Session, resume: bool) -> tuple[Fold, list[Tested]]:
    """One training on one split."""
    fold = folds.opened(session, None, session.parts.sides)
    folds.say_columns(fold)
    if session.spec.model in ("auto", "network"):
        folds.train(session, fold, resume)
    most = min(c.most_tested for c in fold.product.outputs.values())
    rows = on_side(session.parts.sides, 2, fold.store.left_out, most, session.spec.train.seed)
    return fold, [ended.finished(session, fold, rows)]


def _cross_validated(session: Session, resume: bool) -> tuple[Fold, list[Tested]]:
    """A training for each fold, then one on every row (that no test needs), with the epochs and shares that the folds chose."""
    final = folds.opened(session, session.parts.count, session.parts.final)
    folds.say_columns(final)
    tested = []
    for number, sides in enumerate(session.parts.each()):
        done = Tested.load(_file(session, number)) if resume and _file(session, number).is_file() else None
        tested.append(done or _fold(session, number, sides, final, resume, tested[-1].log if tested else 0))
    say(f"training on all {len(final.rows):,} rows, as the folds taught")
    outputs = final.product.outputs
    for o in outputs:
        final.product.shares[o] = _shares(session, final, tested, o)
        outputs[o].keep(outputs[o].agreed([t.settings[o] for t in tested if o in t.settings]))
    epochs = 0.0
    if any(NETWORK in final.product.members(o) for o in outputs):
        epochs = max(float(np.median([t.best_epoch for t in tested if NETWORK in t.costs])), 1.0)
    for o in outputs:
        _as_delivered(session, final, tested, o)
    if agreed(epochs):
        folds.train(session, final, resume, epochs, tested[-1].log)
    learnt = learning.fit_all(session, final)
    for o, column in outputs.items():
        shares = final.product.shares[o]
        final.product.learners[o] = {k: f.learner for k, f in learnt[o].items() if shares.get(k, 0) > 0}
        there = {m: s for m, s in shares.items() if m == NETWORK or m in final.product.learners[o]}
        if not there:  # nothing that the folds used can be fitted to every row
            there = {"constant": 1.0}
            final.product.learners[o]["constant"] = ConstantLearner.blind(column)
        final.product.shares[o] = {m: s / sum(there.values()) for m, s in there.items()}
    learning.refit_all(session, final, learnt)
    if not session.parts.held:
        return final, tested
    rows = on_side(session.parts.sides, 2, final.store.left_out)
    return final, [ended.asked(session, final, learnt, dict(final.product.shares), rows)]


def _shares(session: Session, final: Fold, tested: list[Tested], output: str) -> dict[str, float]:
    """Each member's share, by what all folds say of the rows that they have not seen; the mean of theirs where one chose alone."""
    column = final.product.outputs[output]
    known = [t for t in tested if len(t.rows)]
    names = [m for m in known[0].predictions if m == NETWORK or known[0].roles.get(m) == "learner"] if known else []
    names = [m for m in names if all(output in t.predictions.get(m, {}) for t in known)]
    if session.spec.model != "auto" or len(names) < 2:
        members = {m for t in tested for m in t.shares[output]}
        mean = {m: float(np.mean([t.shares[output].get(m, 0.0) for t in tested])) for m in members}
        return {m: s for m, s in sorted(mean.items()) if s > 0}
    wanted, present = truth(final.store, output, column, np.concatenate([t.rows for t in known]))
    at = np.flatnonzero(present)
    each = {
        m: {
            k: np.concatenate([t.predictions[m][output][k] for t in known])[at] for k in known[0].predictions[m][output]
        }
        for m in names
    }
    return blend_shares(column, each, wanted[at])


def _as_delivered(session: Session, final: Fold, tested: list[Tested], output: str) -> None:
    """Each fold's product anew, with the shares that the other folds choose, as all folds choose those of the product that is delivered.

    They know many more rows than the few that validate in a fold, and none of those that this fold tests. Left as it is where a product
    decides by what its own validation rows say.
    """
    if session.spec.model != "auto" or any(output in t.settings for t in tested):
        return
    for one in (t for t in tested if len(t.rows)):
        shares = _shares(session, final, [t for t in tested if t is not one], output)
        if set(shares) <= set(one.predictions):
            tensors = one.predictions["product"][output]
            each = {m: {k: one.predictions[m][output][k] for k in tensors} for m in shares}
            one.shares[output], one.predictions["product"][output] = shares, mix(each, shares)


def _fold(session: Session, number: int, sides: np.ndarray, final: Fold, resume: bool, log: int) -> Tested:
    """Train and test one of several folds, and leave what it found in the run folder."""
    fold = folds.opened(session, number, sides)
    if session.spec.model in ("auto", "network"):
        folds.train(session, fold, resume, log_start=log)
    # rows that test are those that can be read by the columns of all rows: a label that this fold never saw counts against it
    found = ended.finished(session, fold, on_side(sides, 2, final.store.left_out))
    found.aligned(fold.product.outputs, final.product.outputs)
    path = session.folder.path / "metrics.jsonl"
    found.log = path.stat().st_size if path.exists() else 0
    found.save(_file(session, number))
    return found


def _file(session: Session, number: int) -> Path:
    return session.folder.path / FOLDS / f"{number}.safetensors"
