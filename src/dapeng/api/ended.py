"""What a trained network is made into: learners beside it, training anew where rows are few, answers for the rows that test."""

from __future__ import annotations

import numpy as np
import torch

from dapeng.api import learning
from dapeng.api.folds import Fold, with_a_target
from dapeng.api.session import Session
from dapeng.api.tested import Tested
from dapeng.core.console import say
from dapeng.data.table import cells_of
from dapeng.learners.base import Fitted
from dapeng.models.build import Choices, fresh_model
from dapeng.models.predict import predict_rows
from dapeng.product.product import NETWORK, mix
from dapeng.train.network import train_network
from dapeng.train.setting import packed

FEW_ROWS = 10_000
"""Training rows under which the validation rows, too, are wanted by the network."""


def finished(session: Session, fold: Fold, tested: np.ndarray) -> Tested:
    """Fit learners, blend, refit, and predict the rows that test; all from this fold's training rows."""
    learnt = learning.fit(session, fold)
    shares = learning.share(session, fold, learnt)
    learning.refit(session, fold, learnt)
    _network_anew(session, fold)
    return asked(session, fold, learnt, shares, tested)


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
    more = with_a_target(fold.store, product.outputs, fold.validation)
    if not len(more):
        return
    assert product.model is not None
    sharpness = {n: t.clone() for n, t in product.model.state_dict().items() if n.endswith(".sharpness")}
    torch.manual_seed(spec.train.seed)
    product.model = fresh_model(spec, product.inputs, product.outputs, Choices())
    rows = np.sort(np.concatenate([fold.rows, more]))
    none = np.empty(0, np.int64)
    inputs, outputs = product.inputs, product.outputs
    long = f"{trained.epochs:.0f} epochs" if trained.epochs >= 1 else f"{trained.epochs:.2g} of an epoch"
    say(f"training the network anew on {len(rows):,} rows, over {long}")
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
        seen, _ = learning.matrices(session, product, rows)
        for output, group in learnt.items():
            for name, fitted in group.items():
                target, _ = learning.target_of(fold.store, output, product.outputs[output], rows)
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
