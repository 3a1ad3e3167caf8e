"""A trained model judged on rows that it was not trained on, given later, with their true answers."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from dapeng.core.errors import DataError, Problem
from dapeng.core.spec import Evaluate
from dapeng.data.table import Source
from dapeng.evaluate.verdict import Judged, judge
from dapeng.product.product import Product
from dapeng.train.validation import of_rows


def evaluate_on(product: Product, source: Source, options: Evaluate | None = None, seed: int = 0) -> dict[str, Any]:
    """As metrics.json, without baselines. Rows without the true answer, or that can't be read, are left out and counted.

    Raises DataError if a column is missing, or no row can be judged.
    """
    _check(product, source)
    predictions: dict[str, list[dict[str, np.ndarray]]] = {o: [] for o in product.outputs}
    values: dict[str, list[np.ndarray]] = {o: [] for o in product.outputs}
    present: dict[str, list[np.ndarray]] = {o: [] for o in product.outputs}
    rows = left_out = 0
    strange: dict[str, dict[str, int]] = {o: {} for o in product.outputs}
    for block, answer in product.stream(source, known=True):
        rows += len(block)
        left_out += len(block) - len(answer.rows)
        for name, column in product.outputs.items():
            encoded = column.encode(block.columns.column(name), source.base)
            there = np.ones(len(block), bool) if encoded.present is None else encoded.present.copy()
            there[encoded.bad.rows] = False
            for why in encoded.bad.reasons:
                strange[name][why] = strange[name].get(why, 0) + 1
            ends = None if encoded.lengths is None else np.concatenate([[0], np.cumsum(encoded.lengths)])
            found = (
                column.verbatim(block.columns.column(name))
                if column.lossy
                else column.truth({n: of_rows(a, ends, np.arange(len(block))) for n, a in encoded.tensors.items()})
            )
            values[name].append(found[answer.rows])
            present[name].append(there[answer.rows])
            predictions[name].append(answer.tensors[name])
    if rows == left_out:
        raise DataError(Problem(source.name, "holds no row that can be read", "`dapeng check` says why"))
    truth = {o: (np.concatenate(values[o]), np.concatenate(present[o])) for o in product.outputs}
    together = {o: {k: np.concatenate([p[k] for p in ps]) for k in ps[0]} for o, ps in predictions.items()}
    called = {o: {"rows_are": f"rows of {source.name}"} for o in product.outputs}
    judged = [Judged("product", "product", together, 0.0, {})]
    found = judge(
        options or Evaluate(), product.outputs, truth, judged, f"{rows:,} rows of {source.name}", seed, called
    )
    return {**found, "notes": _notes(truth, strange, left_out)}


def _check(product: Product, source: Source) -> None:
    problems = []
    for name in product.outputs:
        if name not in source.names:
            near = difflib.get_close_matches(name, source.names, 1)
            hint = f"did you mean {near[0]!r}?" if near else "its columns are " + ", ".join(source.names[:12])
            problems.append(Problem(source.name, f"has no column {name!r}, which holds the true answers", hint))
    if problems:
        raise DataError(problems)


def _notes(
    truth: dict[str, tuple[np.ndarray, np.ndarray]], strange: dict[str, dict[str, int]], left_out: int
) -> list[str]:
    notes = [f"{left_out:,} rows are left out because an input can't be read"] if left_out else []
    for name, (_, present) in truth.items():
        missing = int((~present).sum()) - sum(strange[name].values())
        if missing > 0:
            notes.append(f"{missing:,} rows lack the true {name} and are left out")
        for why, count in sorted(strange[name].items(), key=lambda i: -i[1])[:10]:
            notes.append(f"{count:,} rows are left out: {name}: {why}")
    return notes
