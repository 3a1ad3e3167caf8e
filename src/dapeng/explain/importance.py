"""Permutation importance: how much worse the whole product gets when the cells of one column are dealt out anew.

Breiman: Random Forests, 2001; Fisher, Rudin, Dominici, 2019 (https://arxiv.org/abs/1801.01489).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa

from dapeng.data.draws import permutation
from dapeng.data.table import Frame, Source
from dapeng.product.product import Product
from dapeng.train.validation import score

MOST_ROWS = 2_000
FEWEST_ROWS = 50
REPEATS = 3


def importance(product: Product, source: Source, seconds: float, seed: int = 0) -> dict[str, Any]:
    """By output, for each column the mean drop of the headline score, and its spread; and how that was measured.

    Fewer rows or repeats where time is short.
    """
    began = time.process_time()
    names = [n for n in [*product.inputs, *product.outputs] if n in source.names]
    table = source.read(names)
    rows = min(table.num_rows, MOST_ROWS)
    small = table.slice(0, min(rows, FEWEST_ROWS))
    each = _seconds(product, small, source) / max(small.num_rows, 1)
    rounds = REPEATS * len(product.inputs) + 1
    affordable = int(seconds / max(each * rounds, 1e-9))
    repeats = REPEATS if affordable >= FEWEST_ROWS else 1
    rows = max(min(rows, affordable if repeats == REPEATS else affordable * REPEATS), min(rows, FEWEST_ROWS))
    if rows < table.num_rows:
        table = table.take(pa.array(np.linspace(0, table.num_rows - 1, rows).astype(np.int64)))
    whole = _scores(product, table, source)
    drops: dict[str, dict[str, list[float]]] = {o: {} for o in whole}
    skipped = []
    for number, name in enumerate(product.inputs):
        if time.process_time() - began > 1.5 * seconds:
            skipped.append(name)
            continue
        for repeat in range(repeats):
            order = permutation(table.num_rows, seed, number, repeat)
            at = table.column_names.index(name)
            dealt = table.set_column(at, name, table.column(name).take(pa.array(order)))
            for output, found in _scores(product, dealt, source).items():
                drops[output].setdefault(name, []).append(whole[output] - found)
    out = {}
    for output, columns in drops.items():
        listed = [
            {"column": c, "importance": float(np.mean(d)), "spread": float(np.std(d))} for c, d in columns.items()
        ]
        out[output] = sorted(listed, key=lambda c: -c["importance"])
    measured = {"scores": whole, "rows": table.num_rows, "repeats": repeats, "not_measured": skipped}
    return {"importance": out, "measured": measured}


def _seconds(product: Product, table: pa.Table, source: Source) -> float:
    product.predict(Frame(table.slice(0, 2), source.name, source.base))  # what is loaded at first use is not counted
    began = time.process_time()
    product.predict(Frame(table, source.name, source.base))
    return time.process_time() - began


def _scores(product: Product, table: pa.Table, source: Source) -> dict[str, float]:
    """The headline score of each output, larger is better."""
    answer = product.predict(Frame(table, source.name, source.base))
    out = {}
    for name, column in product.outputs.items():
        if name not in table.column_names:
            continue
        encoded = column.encode(table.column(name), source.base)
        known = np.ones(table.num_rows, bool) if encoded.present is None else encoded.present.copy()
        known[encoded.bad.rows] = False
        kept = known[answer.rows]
        wanted = column.truth(encoded.tensors)
        if kept.any():
            found = {k: v[kept] for k, v in answer.tensors[name].items()}
            out[name] = float(score(column, found, wanted[answer.rows][kept]))
    return out
