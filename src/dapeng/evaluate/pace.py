"""How long a network computes for a second of sound that it hears or makes: the real-time factor, one row at a time.

Times differ from run to run, so they stand beside the figures (in metrics.json, where training times are too) and among no predictions.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from dapeng.columns.base import Column
from dapeng.data.feed import batches
from dapeng.data.stored import Store
from dapeng.models.predict import as_arrays, autocasting, predict_batch
from dapeng.product.product import NETWORK, Product

MOST_ROWS = 9
ENOUGH = 1.0
"""Seconds after which no further row is timed."""


def paces(product: Product, store: Store, rows: np.ndarray) -> dict[str, dict[str, Any]]:
    """By output of a network that hears or makes something that lasts: seconds of sound and of computation, and their ratio.

    rows: positions in the store, of which some are asked, each by itself; the first one, which warms up, doesn't count.
    """
    model = product.model
    judged = [o for o in product.outputs if NETWORK in product.members(o)]
    in_time = any(type(c).lasts is not Column.lasts for c in (*product.inputs.values(), *product.outputs.values()))
    if model is None or not judged or not in_time or not len(rows):
        return {}
    some = rows[np.linspace(0, len(rows) - 1, min(MOST_ROWS, len(rows))).astype(int)]
    keys = [g.key for g in store.inputs]
    model.eval()
    lasted: dict[str, list[tuple[str, float]]] = {o: [] for o in judged}
    spent: list[float] = []
    with autocasting(product.device, product.autocast):
        for batch in batches(store, some, 1, keys):
            moved = batch.to(product.device) if product.device != "cpu" else batch
            began, began_cpu = time.perf_counter(), time.process_time()
            said = as_arrays(predict_batch(model, moved, product.outputs))
            wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
            spent.append(min(wall, cpu) if product.device == "cpu" else wall)  # others may hold the processor meanwhile
            heard = sum(c.lasts(batch[n].tensors) for n, c in product.inputs.items() if n in batch)
            for name in judged:
                made = product.outputs[name].lasts(said[name])
                lasted[name].append(("made", made) if made else ("heard", heard))
            if sum(spent) > ENOUGH and len(spent) > 1:
                break
    first = 1 if len(spent) > 1 else 0
    return {n: told for n, each in lasted.items() if (told := _told(each[first:], sum(spent[first:])))}


def _told(each: list[tuple[str, float]], seconds: float) -> dict[str, Any]:
    """Empty where nothing lasts."""
    sound = sum(s for _, s in each)
    if not sound:
        return {}
    told = {"of": each[0][0], "rows": len(each), "sound": sound, "seconds": seconds}
    return {**told, "real_time_factor": seconds / sound, "threads": torch.get_num_threads()}
