"""What a network says when something that it should go by is taken from its inputs: the order of a video's frames, for one.

If it is as good without, it goes by something else. Columns say what can be taken (`Column.controls`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dapeng.data.batch import Batch, Cells
from dapeng.data.draws import uniform
from dapeng.data.stored import Store
from dapeng.evaluate.tasks.base import task_of
from dapeng.evaluate.verdict import Truth
from dapeng.evaluate.views import figures, view_of
from dapeng.models.predict import predict_rows
from dapeng.product.product import NETWORK, Product

SEED = 71


def _changed(batch: Batch, name: str, change: Any) -> Batch:
    cells, rows = batch[name], batch.rows.numpy()
    return batch.replace({name: Cells(change(cells.tensors, lambda n: uniform(rows, n, SEED)), cells.present)})


def controlled(product: Product, store: Store, rows: np.ndarray, truth: Truth) -> dict[str, list[dict[str, Any]]]:
    """By output: the headline of the network alone, as it is and under each control of each input, on these rows of a store."""
    each = [(n, what, change) for n, c in product.inputs.items() for what, change in c.controls().items()]
    model = product.model
    judged = [o for o in product.outputs if NETWORK in product.members(o)]
    if model is None or not each or not judged or not len(rows):
        return {}
    found: dict[str, list[dict[str, Any]]] = {o: [] for o in judged}
    for name, what, change in [("", "as it is", None), *each]:
        shown = None if change is None else partial(_changed, name=name, change=change)
        said = predict_rows(model, store, rows, product.outputs, 512, product.device, product.autocast, change=shown)
        for output in judged:
            column, (values, present) = product.outputs[output], truth[output]
            at = np.flatnonzero(present)
            tensors = {k: v[at] for k, v in said[output].items()}
            known = figures(column, tensors, values[at])
            headline = task_of(column.task).first(column, known)
            if headline in known:
                view = view_of(column, tensors, values[at])
                figure = {"metric": headline, "value": known[headline], "rows": view.rows}
                found[output].append({"column": name, "control": what, **figure})
    return {o: f for o, f in found.items() if len(f) > 1}
