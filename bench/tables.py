"""Mean rank of `model: auto`, of the network alone and of five classical learners over 24 real tables, 60 CPU seconds each.

python bench/tables.py                                # all; what is done already is not done again
python bench/tables.py --tables german crime --methods auto linear
python bench/tables.py --show                         # the table of results alone

Every method trains in a process of its own, on one thread, on the same four fifths of the rows, and is asked for the others. Classes
are ranked by log loss, numbers by root mean squared error. Results: bench/results/2026-11-22-tables.json, and a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from rivals import RIVALS, answers
from table_list import TABLES, split

OURS = ("auto", "network")
METHODS = [*OURS, *RIVALS]
SECONDS = 60
RESULTS = Path(__file__).parent / "results" / "2026-11-22-tables.json"


def ours(method: str, folder: Path, target: str, task: str, classes: list[str]) -> np.ndarray:
    """What the product of a run says of the test rows."""
    import dapeng

    run = dapeng.train(
        str(folder),  # train.parquet and test.parquet
        outputs=target,
        model=method,
        train={"threads": 1, "time_limit": SECONDS - 5},
        evaluate={"baselines": [], "resamples": 0},
        runs=str(folder.parent / "runs"),
    )
    answer = run.answer(str(folder / "test.parquet"))
    if task != "classes":
        return answer.tensors[target]["mean"]
    found = answer.tensors[target]["probabilities"]
    labels = run.product.outputs[target].labels
    out = np.zeros((len(found), len(classes)))
    out[:, [classes.index(v) for v in labels]] = found
    return out


def one(method: str, name: str, folder: Path) -> None:
    """Train one method on one table and write what it says of the test rows; called in a process of its own."""
    table = TABLES[name]
    train, test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    classes = sorted(train[table.target].astype(str).unique()) if table.task == "classes" else []
    if method in OURS:
        found = ours(method, folder, table.target, table.task, classes)
    else:
        found = answers(method, train, test, table.target, table.task == "classes", SECONDS)
    np.save(folder.parent / "found.npy", found)


def judged(name: str, test: pd.DataFrame, train: pd.DataFrame, found: np.ndarray) -> dict[str, float]:
    """Error by which methods are ranked, and what people ask for."""
    table = TABLES[name]
    if table.task == "number":
        error = found - test[table.target].to_numpy(np.float64)
        spread = test[table.target].to_numpy(np.float64)
        return {"error": float(np.sqrt((error**2).mean())), "shown": float(1 - (error**2).mean() / spread.var())}
    classes = sorted(train[table.target].astype(str).unique())
    wanted = test[table.target].astype(str).map({c: i for i, c in enumerate(classes)})
    known = wanted.notna().to_numpy()
    codes = wanted[known].astype(int).to_numpy()
    p = np.clip(found[known], 1e-7, None)
    p = p / p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(codes)), codes]).mean()
    return {"error": float(loss), "shown": float((p.argmax(1) == codes).mean())}


def measure(method: str, name: str) -> dict[str, Any]:
    """One method on one table: its errors, and the CPU seconds of its process."""
    train, test = split(TABLES[name].frame())
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        folder.mkdir()
        train.to_parquet(folder / "train.parquet")
        test.to_parquet(folder / "test.parquet")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, __file__, "--one", method, name, str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode:
            return {"failed": done.stderr[-300:], "cpu": spent}
        return {**judged(name, test, train, np.load(folder.parent / "found.npy")), "cpu": spent}


def shown(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """A Markdown table: accuracy or R2 of each method, its rank by log loss or RMSE, mean ranks below."""
    lines = ["| table | rows | columns | " + " | ".join(METHODS) + " |", "|" + "---|" * (3 + len(METHODS))]
    ranks: dict[str, list[float]] = {m: [] for m in METHODS}
    spent: dict[str, list[float]] = {m: [] for m in METHODS}
    for name in (n for n in TABLES if n in results):
        found = results[name]
        errors = pd.Series({m: found.get(m, {}).get("error", np.inf) for m in METHODS}).round(6)
        complete = all(m in found for m in METHODS)
        rank = errors.rank()
        cells = []
        for m in METHODS:
            if m not in found:
                cells.append("")
                continue
            spent[m].append(found[m]["cpu"])
            if complete:
                ranks[m].append(rank[m])
            figure = f"{found[m]['shown']:.3f}" if "shown" in found[m] else "failed"
            cells.append(f"{figure} ({rank[m]:g})")
        size = found["size"]
        lines.append(f"| {name} | {size[0]:,} | {size[1]} | " + " | ".join(cells) + " |")
    for what, values in (("mean rank", ranks), ("CPU seconds", spent)):
        figures = [f"{np.mean(values[m]):.2f}" if values[m] else "" for m in METHODS]
        lines.append(f"| **{what}** | | | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    asked.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    asked.add_argument("--again", action="store_true", help="measure anew what is there already")
    asked.add_argument("--show", action="store_true")
    asked.add_argument("--results", type=Path, default=RESULTS)
    asked.add_argument("--one", nargs=3)
    options = asked.parse_args()
    if options.one:
        method, name, folder = options.one
        return one(method, name, Path(folder))
    results = json.loads(options.results.read_text()) if options.results.is_file() else {}
    for name in [] if options.show else options.tables:
        own = results.setdefault(name, {})
        own["size"] = list(TABLES[name].frame().shape)
        for method in options.methods:
            if options.again or method not in own:
                own[method] = measure(method, name)
                print(name, method, own[method], file=sys.stderr, flush=True)
                options.results.write_text(json.dumps(results, indent=1))
    print(shown(results))
    return None


if __name__ == "__main__":
    main()
