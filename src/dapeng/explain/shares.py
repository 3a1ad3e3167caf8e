"""How much of a row comes from each input, by the weights that the fusion itself gives them (gates, attention)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dapeng.data.feed import batches
from dapeng.data.stored import Store
from dapeng.models.predict import autocasting
from dapeng.product.product import NETWORK, Product

MOST_ROWS = 500
BATCH = 64
"""Rows at once: attention by row is (T, T)."""


def fusion_shares(product: Product, store: Store, rows: np.ndarray) -> dict[str, Any] | None:
    """The mean share of each input over rows of a store, and its spread over the rows; None where no network weighs its inputs.

    Like columns are one input. The network alone is asked, not what is blended with it.
    """
    model = product.model
    if model is None or model.fusion is None or not model.fusion.shares_are or len(model.encoders) < 2:
        return None
    if not len(rows) or not any(NETWORK in product.members(o) for o in product.outputs):
        return None
    if len(rows) > MOST_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64)]
    groups = {g.key: list(g.columns) for g in store.inputs}
    found = []
    model.eval()
    with torch.inference_mode(), autocasting(product.device, product.autocast):
        for batch in batches(store, rows, BATCH, list(groups)):
            parts = model.encode(batch.to(product.device) if product.device != "cpu" else batch)
            shares = model.fusion.shares(parts)
            assert shares is not None
            found.append(shares.float().cpu().numpy())
    each = np.concatenate(found)
    inputs = [
        {"columns": groups[key], "share": float(m), "spread": float(s)}
        for key, m, s in zip(model.encoders, each.mean(0), each.std(0))
    ]
    ordered = sorted(inputs, key=lambda i: -i["share"])
    return {"share": model.fusion.shares_are, "rows": len(each), "inputs": ordered}
