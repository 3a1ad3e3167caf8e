"""Run folders as training leaves them, made in a moment: what the report reads, with names that try to break out of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dapeng.core.files import write_text, write_yaml
from dapeng.core.run import RunFolder

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from judging import constant, judged_classes, labels_column, probabilities  # noqa: F401

EVIL = "<script>alert(1)</script>"
QUOTES = "\"'><img src=x onerror=alert(1)>"


def class_run(parent: Path, labels: list[str], cells: list[Any], kind: str = "text", column: str = "text") -> RunFolder:
    """A run with one input column, whose data lies beside it as Parquet; test rows are all rows."""
    rows = len(cells)
    folder = RunFolder.create(parent / "runs", "made")
    codes = np.random.default_rng(0).integers(0, len(labels), rows)
    source = parent / "rows.parquet"
    pq.write_table(pa.table({column: cells, "y": [labels[c] for c in codes]}), source)
    metrics = judged_classes(2, 2, rows=rows, labels=labels)
    metrics["seconds"] = {"wall": 12.0, "cpu": 11.0}
    folder.write_json("metrics.json", metrics)
    found = probabilities(codes, len(labels), 2, 1)["y"]["probabilities"]
    table = {"row": np.arange(rows), "y.present": np.ones(rows, bool), "y.truth": codes, "y.probabilities": list(found)}
    pq.write_table(pa.table(table), folder.path / "predictions.parquet")
    state = {"labels": labels, "counts": [1] * len(labels), "missing": 0}
    folder.write_json(
        "columns.json",
        {
            "inputs": {column: {"options": {"type": kind}, "state": _state(kind)}},
            "outputs": {"y": {"options": {"type": "category", "positive": None, "missing": []}, "state": state}},
        },
    )
    write_yaml(folder.path / "spec.yaml", {"data": {"path": str(source)}, "outputs": {"y": "category"}})
    facts = {"reasons": {f"inputs.{column}.encoder": "because"}, "split": "all of them", "versions": {"dapeng": "0"}}
    spec = {"inputs": {column: {"encoder": {"type": "bag"}}}, "evaluate": {"errors_shown": 12}, "train": {"seed": 0}}
    write_yaml(folder.path / "resolved.yaml", {"spec": spec, "facts": facts})
    lines = [
        f'{{"phase": 0, "step": {i}, "epoch": {i}, "loss": {1 / i:.3f}, "score": {i / 9:.3f}}}' for i in range(1, 9)
    ]
    write_text(folder.path / "metrics.jsonl", "\n".join(lines) + '\n{"phase": 0, "st')
    return folder


def _state(kind: str) -> dict[str, Any]:
    if kind == "image":
        return {
            "channels": 3,
            "height": 8,
            "width": 8,
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "sizes": [],
            "missing": 0,
            "unreadable": 0,
        }
    lengths = {"0.5": 3, "0.9": 3, "0.99": 3, "1.0": 3}
    return {
        "kind": "words",
        "han": False,
        "missing": 0,
        "rows": 9,
        "vocab": ["a"],
        "lengths": lengths,
        "max_length": 3,
        "lowest": 1,
        "highest": 1,
    }
