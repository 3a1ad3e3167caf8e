"""A run folder with an MLP 64-256-256-10 over a table (scikit-learn's digits as 64 numbers), for measuring the server."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from sklearn.datasets import load_digits

import dapeng


def make(runs: str | Path) -> Path:
    """Train for a moment; only the shape matters."""
    digits = load_digits()
    frame = pd.DataFrame(digits.data, columns=[f"p{i:02}" for i in range(64)])
    frame["digit"] = digits.target.astype(str)
    inputs = {c: {"type": "number", "encoder": "linear"} for c in frame.columns[:-1]}
    data = Path(runs) / "digits.csv"
    data.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(data, index=False)
    spec = {
        "name": "mlp",
        "data": {"path": str(data), "split": {"by": "random"}},
        "inputs": inputs,
        "outputs": {"digit": "category"},
        "fusion": {"type": "concat", "hidden": [256, 256]},
        "model": "network",
        "train": {"epochs": 3},
        "evaluate": {"baselines": [], "resamples": 0},
    }
    return dapeng.train(spec, runs=runs).path


if __name__ == "__main__":
    print(make(sys.argv[1]))
