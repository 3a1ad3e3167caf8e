"""What data costs once it is prepared: memory, or room on disk."""

from __future__ import annotations

from collections.abc import Mapping

from dapeng.columns.base import Column
from dapeng.core.spec import Spec
from dapeng.data.prepare import IN_MEMORY
from dapeng.data.stored import Store
from dapeng.models.plan import plan


def cost(spec: Spec, rows: int, inputs: Mapping[str, Column], targets: Mapping[str, Column], store: Store) -> list[str]:
    """Sentences: rows, bytes a row of the prepared arrays as the first rows have them, and where they will lie; the network's size.

    rows: of all data. inputs, targets: fitted on the first rows, encoders decided. store: the first rows, prepared.
    """
    each = sum(a.nbytes for s in store.stored.values() for a in s.tensors.values()) / max(store.rows, 1)
    place = "in memory" if rows * each <= IN_MEMORY else "in files, memory-mapped"
    data = (
        f"{rows:,} rows of {len(inputs)} inputs: about {each:,.0f} bytes a row prepared, {_size(rows * each)} {place}"
    )
    if spec.model not in ("auto", "network"):
        return [data]
    said = plan(spec, inputs, targets).describe()
    return [data, f"{said} (vocabularies as the first {store.rows} rows have them)"]


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"
