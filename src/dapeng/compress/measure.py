"""Size, latency and metrics of a product, for comparing two."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from dapeng.core.run import RunFolder
from dapeng.data.table import Frame, Source
from dapeng.product.product import Product

SECONDS = 2.0
ROUNDS = 25


def size_of(folder: RunFolder) -> tuple[int, int]:
    """Bytes of the weights, and of all files that predicting reads."""
    weights = folder.path / "weights.safetensors"
    first = weights.stat().st_size if weights.is_file() else 0
    others = [p for p in (folder.path / "learners").rglob("*") if p.is_file()]
    others += [folder.path / n for n in ("columns.json", "product.json")]
    return first, first + sum(p.stat().st_size for p in others)


def latencies(before: Product, after: Product, rows: Source, count: int) -> tuple[float, float]:
    """Median milliseconds of processor time that `predict` takes for so many rows, on one thread; timed in turns."""
    read = rows.read(list(before.inputs))
    frame = Frame(read.take(pa.array(np.resize(np.arange(read.num_rows), count))), rows.name, rows.base)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent: tuple[list[float], list[float]] = ([], [])
    try:
        began = time.process_time()
        for turn in range(ROUNDS + 1):
            for product, times in zip((before, after), spent):
                start = time.process_time()
                product.predict(frame)
                if turn:  # the first turn warms up
                    times.append(1000 * (time.process_time() - start))
            if turn >= 3 and time.process_time() - began > SECONDS:
                break
    finally:
        torch.set_num_threads(threads)
    return round(statistics.median(spent[0]), 4), round(statistics.median(spent[1]), 4)


def scores(product: Product, rows: Source) -> dict[str, float]:
    """Every metric of the product on rows with true answers, by "output metric"."""
    from dapeng.evaluate.again import evaluate_on

    found: dict[str, Any] = evaluate_on(product, rows)
    out = {}
    for name, output in found["outputs"].items():
        for metric, value in output["metrics"].items():
            number = value.get("value") if isinstance(value, dict) else value
            if isinstance(number, (int, float)):
                out[f"{name} {metric}"] = float(number)
    return out
