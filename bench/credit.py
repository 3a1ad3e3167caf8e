"""Credit default: the product beside LightGBM and CatBoost with settings made for this table, on the same test rows, three splits.

python bench/credit.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.metrics import roc_auc_score

from dapeng.core.kinds import samples

DRAWS = 200
VALIDATION = 3_000


def table() -> tuple[np.ndarray, np.ndarray]:
    """(N, K) the columns as numbers, and (N,) who defaulted."""
    found: Any = next(iter(samples.members()["credit"]().load().values()))
    rows = found.read([*found.names])
    y = np.unique(np.asarray(rows.column("default").to_pylist()), return_inverse=True)[1]
    columns = [np.asarray(rows.column(n).to_pylist()) for n in found.names if n != "default"]
    coded = [c if c.dtype.kind in "if" else np.unique(c.astype(str), return_inverse=True)[1] for c in columns]
    return np.column_stack(coded).astype(np.float64), y


def product(seed: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows that test, and what the recipe says of them."""
    command = [sys.executable, "-m", "dapeng", "train", "recipe:credit", f"train.seed={seed}", "train.threads=1"]
    subprocess.run([*command, f"name=credit{seed}"], cwd=folder, check=True, capture_output=True)
    found = pq.read_table(folder / "runs" / f"credit{seed}-0001" / "predictions.parquet")
    said = np.array(found.column("default.probabilities").to_pylist())[:, 1]
    return np.array(found.column("row").to_pylist()), said


def rivals(x: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """What boosted trees say of the rows that test; CatBoost stops by its own validation rows."""
    train = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(len(y)), test))
    held, train = train[:VALIDATION], train[VALIDATION:]
    cat = CatBoostClassifier(
        iterations=1000, learning_rate=0.04, depth=6, verbose=0, thread_count=1, random_seed=seed, eval_metric="AUC"
    ).fit(x[train], y[train], eval_set=(x[held], y[held]), early_stopping_rounds=100)
    light = LGBMClassifier(
        n_estimators=400, learning_rate=0.03, num_leaves=15, min_child_samples=40, subsample=0.8, subsample_freq=1,
        colsample_bytree=0.5, n_jobs=1, verbose=-1, random_state=seed,
    ).fit(x[train], y[train])  # fmt: skip
    return {"catboost": cat.predict_proba(x[test])[:, 1], "lightgbm": np.asarray(light.predict_proba(x[test]))[:, 1]}


def main() -> None:
    x, y = table()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(3):
            test, said = product(seed, Path(folder))
            each = {"product": said, **rivals(x, y, test, seed)}
            figures: dict[str, Any] = {n: round(float(roc_auc_score(y[test], p)), 4) for n, p in each.items()}
            draws = np.random.default_rng(seed).integers(0, len(test), (DRAWS, len(test)))
            spread = np.quantile([roc_auc_score(y[test][d], said[d]) for d in draws], [0.025, 0.975])
            print(json.dumps({"seed": seed, **figures, "interval": spread.round(3).tolist()}), flush=True)


if __name__ == "__main__":
    main()
