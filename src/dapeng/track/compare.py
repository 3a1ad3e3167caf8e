"""Two runs on the same test rows, paired: what was done differently, and is the difference more than chance?

McNemar: Note on the sampling error of the difference between correlated proportions or percentages, 1947.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dapeng.core.console import table
from dapeng.core.errors import RunError
from dapeng.core.run import RunFolder
from dapeng.core.yaml12 import decode
from dapeng.core.yaml12 import read as read_yaml
from dapeng.evaluate.bootstrap import difference, draw
from dapeng.evaluate.parquet import array_of
from dapeng.evaluate.tasks.base import task_of
from dapeng.evaluate.views import metrics_for
from dapeng.metrics.base import LabelView, value_of

RESAMPLES = 1000
CONFIDENCE = 0.95
LEAST_COMMON = 0.95
"""Share of each run's test rows that the other must have tested too (cells that only one of them reads may be damaged)."""


@dataclass(frozen=True)
class Tested:
    """What a run said of its test rows, in the order of their positions. tensors: the prediction, and "truth"."""

    column: Any
    rows: np.ndarray
    tensors: dict[str, np.ndarray]

    def told(self, at: np.ndarray) -> tuple[Any, dict[str, np.ndarray], np.ndarray]:
        """Column, prediction and truth of some of the rows."""
        prediction = {n: a[at] for n, a in self.tensors.items() if n != "truth"}
        return self.column, prediction, self.tensors["truth"][at]


class Comparison(dict[str, Any]):
    """{"first", "second", "differences", "outputs"} with a face."""

    def plain(self) -> dict[str, Any]:
        return dict(self)

    def text(self) -> str:
        differ = [(d["key"], _short(d["first"]), _short(d["second"])) for d in self["differences"]]
        parts = [table(differ, ("setting", self["first"], self["second"])) if differ else "the specs are the same"]
        for name, found in self["outputs"].items():
            head = ("metric", self["first"], self["second"], "second is better by", "from", "to")
            rows = [
                (m, *(f[k] for k in ("first", "second", "gain", "low", "high"))) for m, f in found["metrics"].items()
            ]
            parts += ["", f"{name}, {found['rows']:,} rows in common", "", table(rows, head), "", found["words"]]
        return "\n".join(parts)


def compare(first: RunFolder, second: RunFolder) -> Comparison:
    """Compare two runs. Raises RunError if they were not tested on the same rows of the same data, or say different things."""
    done = _resolved(first), _resolved(second)
    hashes = [d.get("facts", {}).get("data") for d in done]
    if all(hashes) and hashes[0] != hashes[1]:
        raise RunError(
            f"{first.name} and {second.name} were tested on different data",
            hint="compare runs of the same data and split",
        )
    described = first.read_json("columns.json")["outputs"], second.read_json("columns.json")["outputs"]
    shared = [n for n in described[0] if n in described[1]]
    if not shared:
        raise RunError(f"{first.name} and {second.name} have no output in common")
    found = {n: _output(n, _tested(first, n), _tested(second, n), (first.name, second.name)) for n in shared}
    differences = _differences(done[0].get("spec", {}), done[1].get("spec", {}))
    return Comparison(first=first.name, second=second.name, differences=differences, outputs=found)


def _resolved(folder: RunFolder) -> dict[str, Any]:
    return read_yaml(decode(folder.file("resolved.yaml").read_bytes())).value


def _tested(folder: RunFolder, output: str) -> Tested:
    import pyarrow.parquet as pq

    from dapeng.core.kinds import columns

    found = pq.read_table(folder.file("predictions.parquet"))
    names = [n for n in found.column_names if n.startswith(f"{output}.")]
    tensors = {n.removeprefix(f"{output}."): array_of(found.column(n)) for n in names}
    present = tensors.pop("present")
    rows = found.column("row").to_numpy()[present]
    order = np.argsort(rows, kind="stable")
    described = folder.read_json("columns.json")["outputs"][output]
    cls = columns.members()[described["options"]["type"]]
    column = cls.model_construct(**described["options"]).fitted(output, described["state"], True)
    return Tested(column, rows[order], {n: a[present][order] for n, a in tensors.items()})


def _output(name: str, first: Tested, second: Tested, names: tuple[str, str]) -> dict[str, Any]:
    common, at, other = np.intersect1d(first.rows, second.rows, return_indices=True)
    fewest = max(len(first.rows), len(second.rows))
    if not len(common) or len(common) < LEAST_COMMON * fewest:
        what = f"{names[0]} and {names[1]} were tested on different rows: {len(common):,} of {fewest:,} in common"
        raise RunError(what, hint="give both the same data.split and train.seed")
    if first.column.task != second.column.task:
        raise RunError(f"{name} is a {first.column.type} in {names[0]}, and a {second.column.type} in {names[1]}")
    task = task_of(first.column.task)
    views = task.paired(first.told(at), second.told(other))
    every = metrics_for(views[0])
    metrics = {n: every[n] for n in task.shows(first.column) if n in every}
    draws = draw({"second": (views[1], metrics), "first": (views[0], metrics)}, RESAMPLES, 0)
    figures = {}
    for metric, how in metrics.items():
        gain = difference(how, (views[1], draws["second"][metric]), (views[0], draws["first"][metric]), CONFIDENCE)
        values = {"first": value_of(how, views[0]), "second": value_of(how, views[1])}
        figures[metric] = {**values, "gain": gain.value, "low": gain.low, "high": gain.high}
    found: dict[str, Any] = {"rows": len(common), "metrics": figures}
    if isinstance(views[0], LabelView) and isinstance(views[1], LabelView):
        found["mcnemar"] = mcnemar(views[0].right, views[1].right)
    return {**found, "words": _words(figures, found.get("mcnemar"), names)}


def mcnemar(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Rows that one alone has right, and how likely so uneven a split would be by chance (exact, two-sided).

    first, second: (N,) bool, whether each run has the row right.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return {"only_first": only_first, "only_second": only_second, "p": _two_sided(only_first, only_second)}


def _two_sided(a: int, b: int) -> float:
    total, fewer = a + b, min(a, b)
    logs = [math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(fewer + 1)]
    below = sum(math.exp(v - total * math.log(2)) for v in logs)
    return min(1.0, 2 * below)


def _words(figures: dict[str, dict[str, Any]], paired: dict[str, Any] | None, names: tuple[str, str]) -> str:
    metric, figure = next(iter(figures.items()))
    test = (
        ""
        if paired is None
        else (
            f" {names[0]} alone has {paired['only_first']:,} rows right, {names[1]} alone {paired['only_second']:,} "
            f"(McNemar p = {paired['p']:.2g})."
        )
    )
    if figure["low"] is None:
        return f"There are too few rows to tell them apart.{test}"
    if figure["low"] > 0 or figure["high"] < 0:
        better, worse = (names[1], names[0]) if figure["low"] > 0 else names
        return f"{better} is better than {worse}, by {metric}: the interval of the difference leaves out 0.{test}"
    return f"No difference in {metric} beyond chance: its interval holds 0.{test}"


def _differences(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """Settings in which two specs differ, and nothing else."""
    flat = dict(_flat(first)), dict(_flat(second))
    keys = [k for k in dict.fromkeys([*flat[0], *flat[1]]) if flat[0].get(k) != flat[1].get(k)]
    return [{"key": k, "first": flat[0].get(k), "second": flat[1].get(k)} for k in keys]


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{path}.{key}" if path else str(key))]
    return [(path, value)]


def _short(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)[:60]
