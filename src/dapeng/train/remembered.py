"""What frozen encoders make of each row, worked out once instead of in every epoch.

An encoder none of whose parameters learns gives the same features for a cell every time; where only pooled features are read, and
nothing changes the cell at random, they are kept. Three hundred pictures are then a matter of seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dapeng.columns.base import Column
from dapeng.core.console import say
from dapeng.data.batch import Batch, Cells
from dapeng.data.feed import batches
from dapeng.data.groups import group
from dapeng.data.stored import Store
from dapeng.models.model import Model
from dapeng.models.predict import autocasting
from dapeng.transforms.compose import steps_of

MOST_BYTES = 1 << 30
BATCH = 64


class Remembered:
    """Batch -> Batch: cells of frozen encoders give way to their pooled features (B, D)."""

    def __init__(self, places: Tensor, features: dict[str, Tensor]):
        self.places, self.features = places, features

    def __call__(self, batch: Batch) -> Batch:
        at = self.places[batch.rows.cpu()]
        found = {}
        for name, values in self.features.items():
            found[name] = Cells({"pooled": values[at].to(batch.rows.device)}, batch[name].present)
        return batch.replace(found)


def remembered(
    model: Model,
    inputs: Mapping[str, Column],
    store: Store,
    rows: np.ndarray,
    device: str,
    autocast: torch.dtype | None,
) -> Callable[[Batch], Batch] | None:
    """Features of frozen encoders for these positions, which rise; None where no encoder is frozen, or they would be too many."""
    names = [n for n in frozen(model, inputs) if 4 * len(rows) * (model.encoders[n].widths.pooled or 0) <= MOST_BYTES]
    if not names or getattr(model.fusion, "reads_tokens", False):
        return None
    if any(d.needs != frozenset({"pooled"}) for d in model.decoders.values()):
        return None
    say(
        f"{', '.join(names)}: nothing of the network is trained, so its features are worked out once, for {len(rows):,} rows"
    )
    places = torch.zeros(store.rows, dtype=torch.int64)
    places[torch.from_numpy(rows)] = torch.arange(len(rows))
    features = {n: torch.empty(len(rows), model.encoders[n].widths.pooled or 0) for n in names}
    model.eval()
    with torch.inference_mode(), autocasting(device, autocast):
        for batch in batches(store, rows, BATCH, names):
            moved = batch.to(device) if device != "cpu" else batch
            for name in names:
                pooled: Any = model.encoders[name](moved[name]).pooled
                features[name][places[batch.rows]] = pooled.float().cpu()
    return Remembered(places, {n: f.clone() for n, f in features.items()})


def frozen(model: Model, inputs: Mapping[str, Column]) -> list[str]:
    """Encoders of single columns that don't learn, over cells that nothing changes in training."""
    out = []
    for g in group(inputs):
        own = list(model.encoders[g.key].parameters())
        if not g.block and own and not any(p.requires_grad for p in own) and not steps_of(inputs[g.columns[0]]):
            out.append(g.key)
    return out
