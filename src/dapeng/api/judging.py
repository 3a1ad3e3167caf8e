"""What is left in the run folder beside the product: the verdict, its predictions of the test rows, and what was done."""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dapeng.columns.base import strings
from dapeng.core.duration import words
from dapeng.core.files import write_yaml
from dapeng.core.spec import plain
from dapeng.data.table import cells_of
from dapeng.evaluate.apart import apart
from dapeng.evaluate.controls import controlled
from dapeng.evaluate.memorised import memorised
from dapeng.evaluate.pace import paces
from dapeng.evaluate.tasks.base import task_of
from dapeng.evaluate.verdict import Judged, verdict
from dapeng.explain.shares import fusion_shares
from dapeng.product.product import NETWORK, Product
from dapeng.train.validation import truth

if TYPE_CHECKING:
    from dapeng.api.folds import Fold
    from dapeng.api.session import Session
    from dapeng.api.tested import Tested


def judge(session: Session, fold: Fold, tested: list[Tested]) -> dict[str, Any]:
    """metrics.json: every figure of the product, its members and the baselines on the test rows."""
    outputs = fold.product.outputs
    known = [t for t in tested if len(t.rows)]
    if not known:
        return {"outputs": {}, "verdict": "no rows were left to test on", "rows": 0}
    rows = np.concatenate([t.rows for t in known])
    wanted = {o: _truth(session, fold, o, rows) for o in outputs}
    judged = []
    for name in (n for n in known[0].predictions if all(n in t.predictions for t in known)):
        together = {
            o: {k: np.concatenate([t.predictions[name][o][k] for t in known]) for k in _shared(known, name, o)}
            for o in outputs
            if all(o in t.predictions[name] for t in known)
        }
        role: Any = name if name in ("product", NETWORK) else known[0].roles.get(name, "baseline")
        shares = {o: float(np.mean([t.shares[o].get(name, 0.0) for t in known])) for o in outputs}
        judged.append(Judged(name, role, together, sum(t.costs.get(name, 0.0) for t in known), shares))
    how = session.parts.describe()
    measured = {n: {"pace": told} for n, told in paces(fold.product, fold.store, rows).items()}
    found = verdict(session.spec, outputs, wanted, judged, how, session.spec.train.seed, measured)
    found["notes"] = [words for c in outputs.values() if (words := c.decision())]
    shown = apart(session.spec.evaluate, outputs, wanted, judged, _by(session, rows), session.spec.train.seed)
    under = controlled(fold.product, fold.store, rows, wanted) if len(known) == 1 else {}
    for name in outputs:
        found["outputs"][name] |= {"apart": shown[name]} if shown.get(name) else {}
        found["outputs"][name] |= {"controls": under[name]} if name in under else {}
    if "weight" in session.chosen.roles:
        column = session.chosen.roles["weight"]
        found["notes"] += [f"{column} weighs rows in training; here every test row counts once."]
    if not found["notes"]:
        del found["notes"]
    for name, column in outputs.items():
        said = next(j for j in judged if j.name == "product").predictions.get(name)
        by_heart = _by_heart(fold, name, column, rows, said, wanted[name])
        if by_heart is not None:
            found["outputs"][name]["memorised" if column.answers == "text" else "nearest"] = by_heart
    shares = fusion_shares(fold.product, fold.store, rows)
    if shares is not None:
        found["fusion"] = shares
    found["seconds"] = {"wall": time.monotonic() - session.began, "cpu": time.process_time() - session.began_cpu}
    return found


def _truth(session: Session, fold: Fold, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What an output says in these rows, and where it is there: as it stands in the data, where encoding loses some of it."""
    column = fold.product.outputs[name]
    wanted, present = truth(fold.store, name, column, rows)
    return column.verbatim(cells_of(session.source, name, rows)) if column.lossy else wanted, present


def _by(session: Session, rows: np.ndarray) -> dict[str, list[str]]:
    """The values of the columns by which figures are shown apart."""
    return {
        n: [v or "" for v in strings(cells_of(session.source, n, rows)).to_pylist()]
        for n in session.spec.evaluate.apart
    }


def _by_heart(fold: Fold, name: str, column: Any, rows: np.ndarray, said: Any, wanted: Any) -> dict[str, Any] | None:
    """What a language model knows by heart of its training texts; of other answers what their task says of them."""
    stored, model = fold.store.stored[name], fold.product.model
    if column.answers != "text":
        (values, present), tensors = wanted, next(iter(stored.tensors.values()))
        found = {k: np.asarray(v)[present] for k, v in (said or {}).items()}
        return task_of(column.task).by_heart(column, found, np.asarray(values)[present], tensors, fold.rows)
    if fold.product.inputs or model is None:
        return None
    model.eval()
    with torch.inference_mode():
        return memorised(column, model.decoders[name], stored, fold.rows, rows)


def _shared(known: list[Tested], member: str, output: str) -> list[str]:
    """Tensors that every fold has: one may have had too little to decide by."""
    return [k for k in known[0].predictions[member][output] if all(k in t.predictions[member][output] for t in known)]


def save_tested(session: Session, fold: Fold, tested: list[Tested]) -> None:
    """predictions.parquet: what the product said of every test row, beside the truth, for comparing runs and for the report."""
    known = [t for t in tested if len(t.rows)]
    if not known:
        return
    rows = np.concatenate([t.rows for t in known])
    columns: dict[str, Any] = {"row": rows}
    for name, column in fold.product.outputs.items():
        wanted, columns[f"{name}.present"] = _truth(session, fold, name, rows)
        columns[f"{name}.truth"] = wanted if wanted.ndim == 1 else list(wanted.reshape(len(wanted), -1))
        said: dict[str, np.ndarray] = {}
        for k in _shared(known, "product", name):
            found = np.concatenate([t.predictions["product"][name][k] for t in known])
            columns[f"{name}.{k}"] = found if found.ndim == 1 else list(found.reshape(len(found), -1))
            said[k] = found
        beside = task_of(column.task).kept(column, said, wanted)
        columns |= {f"{name}.{k}": found for k, found in beside.items()}
    pq.write_table(pa.table(columns), session.folder.path / "predictions.parquet")


def save_resolved(session: Session, product: Product) -> None:
    """spec.yaml (what was asked) is there from the start; here what was done: every value, versions, machine, seed, data hash."""
    import dapeng

    done = plain(session.spec, every=True)
    for path, (value, _) in session.choices.reasons.items():
        at: Any = done
        *parents, last = path.split(".")
        for key in parents:
            at = at.get(key) if isinstance(at, dict) else None
        if isinstance(at, dict):
            at[last] = {"type": value} if last == "encoder" else value
    facts = {
        "reasons": {p: why for p, (_, why) in session.choices.reasons.items()},
        "split": session.parts.describe(),
        "rows": session.rows,
        "data": session.data,
        "shares": product.shares,
        "notes": [f"{n.kind}: {n.where}: {n.what}" for n in session.opened.notes()],
        "versions": {
            "dapeng": dapeng.__version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
        },
        "took": words(time.monotonic() - session.began),
    }
    write_yaml(session.folder.path / "resolved.yaml", {"spec": done, "facts": facts}, "what was done, every value")
