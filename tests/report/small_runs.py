"""Runs of a picture, a table and a text, trained in seconds from real data, with everything in their reports that a report can hold."""

from __future__ import annotations

import functools
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))
from dapeng import api
from dapeng.core.run import RunFolder
from dapeng.report.write import write_report
from trained import digits, iris, reviews

KINDS = ("picture", "number", "text")


def _spec(kind: str) -> tuple[pa.Table, dict[str, Any]]:
    if kind == "picture":
        return digits(400), {"inputs": {"image": "image"}, "outputs": {"label": "category"}, "model": "network"}
    if kind == "text":
        return reviews().select(["review", "mood"]), {
            "inputs": {"review": "text"},
            "outputs": {"mood": "category"},
            "model": "network",
        }
    names = ["sepal length", "sepal width", "petal.length", "wide"]
    inputs = {**dict.fromkeys(names[:3], "number"), "wide": "category"}
    return iris().select([*names, "petal.width"]), {"inputs": inputs, "outputs": {"petal.width": "number"}}


@functools.cache
def run_of(kind: str) -> RunFolder:
    """A trained run, explained; an export and a compression are noted in it as their verbs do."""
    place = Path(tempfile.mkdtemp(prefix="dapeng-reports-"))
    table, spec = _spec(kind)
    pq.write_table(table, place / "rows.parquet")
    train = {"epochs": 3, "threads": 1, "time_limit": "20s"}
    run = api.train({"data": str(place / "rows.parquet"), **spec, "train": train}, runs=place / "runs")
    folder = run.folder
    folder.write_json("export.json", EXPORTED)
    folder.write_json("compress.json", compressed(*((o, m) for o, m in _measured(folder))))
    write_report(folder)
    return folder


def _measured(folder: RunFolder) -> list[tuple[str, str]]:
    outputs = folder.read_json("metrics.json")["outputs"]
    return [(o, m) for o, found in outputs.items() for m in found["metrics"]]


EXPORTED = {
    "onnx": {
        "format": "onnx",
        "file": "/elsewhere/model.onnx",
        "bytes": 355_698,
        "opset": 18,
        "inputs": [{"name": "x", "type": "tensor(float)", "shape": ["rows", 4]}],
        "largest_difference": 3.5762786865234375e-07,
        "differences_by_rows": {"1": 2.3e-10, "5": 2.4e-07, "64": 3.6e-07},
        "lacks": {"y": {"trees": 0.325}},
        "checked_on": "64 test rows of the run",
        "cpu_seconds": 4.26,
    },
    "standalone": {
        "format": "standalone",
        "folder": "/elsewhere/standalone",
        "files": ["columns.json", "model.onnx", "predict.py"],
        "largest_difference": 0.0,
        "requires": ["numpy>=1.26", "onnxruntime>=1.20"],
        "checked_on": "64 test rows of the run",
        "cpu_seconds": 3.35,
    },
}


def compressed(*metrics: tuple[str, str]) -> dict[str, Any]:
    """compress.json with every metric a little worse."""
    rows = [
        {"measure": "weights", "before": 422_068, "after": 112_872, "unit": "bytes"},
        {"measure": "latency of 1 row", "before": 2.7473, "after": 2.6891, "unit": "ms, p50"},
    ]
    rows += [{"measure": f"{o} {m}", "before": 0.8109, "after": 0.8101, "unit": ""} for o, m in metrics]
    return {"from": "/elsewhere/runs/y-0001", "method": "int8", "table": rows, "timed_on": "256 test rows of the run"}
