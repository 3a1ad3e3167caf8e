"""What is left in the run folder beside the product: the verdict, its predictions of the test rows, and what was done."""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import torch

from dapeng.core.duration import words
from dapeng.core.files import write_yaml
from dapeng.core.spec import plain
from dapeng.evaluate.verdict import Judged, verdict
from dapeng.product.product import NETWORK, Product

if TYPE_CHECKING:
    from dapeng.api.training import Fold, Session


def judge(session: Session, folds: list[Fold]) -> dict[str, Any]:
    """metrics.json: every figure of the product, its members and the baselines on the test rows."""
    outputs = folds[0].product.outputs
    known = [f for f in folds if len(f.tested)]
    if not known:
        return {"outputs": {}, "verdict": "no rows were left to test on", "rows": 0}
    wanted = {o: tuple(np.concatenate([f.truth[o][i] for f in known]) for i in range(2)) for o in outputs}
    names = [n for n in known[0].predictions if all(n in f.predictions for f in known)]
    judged = []
    for name in names:
        together = {
            o: {k: np.concatenate([f.predictions[name][o][k] for f in known]) for k in known[0].predictions[name][o]}
            for o in outputs
            if all(o in f.predictions[name] for f in known)
        }
        role: Any = name if name in ("product", NETWORK) else _role(known[0], name)
        shares = {o: float(np.mean([f.shares[o].get(name, 0.0) for f in known])) for o in outputs}
        judged.append(Judged(name, role, together, _cost(known, name), shares))
    how = session.parts.describe()
    found = verdict(session.spec, outputs, wanted, judged, how, session.spec.train.seed)  # type: ignore[arg-type]
    found["seconds"] = {"wall": time.monotonic() - session.began, "cpu": time.process_time() - session.began_cpu}
    return found


def _role(fold: Fold, name: str) -> Literal["learner", "baseline"]:
    for group in fold.fitted.values():
        if name in group:
            return "learner" if group[name].facts.get("product") else "baseline"
    return "baseline"


def _cost(folds: list[Fold], name: str) -> float:
    if name == NETWORK:
        return sum(f.trained.cpu_seconds for f in folds if f.trained is not None)
    return sum(g[name].cpu_seconds for f in folds for g in f.fitted.values() if name in g)


def save_tested(session: Session, folds: list[Fold]) -> None:
    """predictions.parquet: what the product said of every test row, beside the truth, for comparing runs and for the report."""
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"row": np.concatenate([f.tested for f in folds])}
    for name in folds[0].product.outputs:
        columns[f"{name}.present"] = np.concatenate([f.truth[name][1] for f in folds if f.truth])
        columns[f"{name}.truth"] = np.concatenate([f.truth[name][0] for f in folds if f.truth])
        keys = folds[0].predictions["product"][name] if folds[0].predictions else {}
        for k in keys:
            found = np.concatenate([f.predictions["product"][name][k] for f in folds if f.truth])
            columns[f"{name}.{k}"] = found if found.ndim == 1 else list(found)
    if len(columns["row"]):
        path = session.folder.path / "predictions.parquet"
        pq.write_table(pa.table(columns), path)


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
        "data": session.opened.fingerprint(),
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
