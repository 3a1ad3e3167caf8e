"""What data costs once it is prepared: memory, or room on disk."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dapeng.core.kinds import ColumnOptions
from dapeng.core.spec import Spec
from dapeng.data.prepare import IN_MEMORY, Prepared, fit_columns
from dapeng.data.table import Frame, Source
from dapeng.models.build import Choices, with_encoders
from dapeng.models.plan import plan

LOOKED_AT = 500


def cost(
    spec: Spec, source: Source, inputs: Mapping[str, ColumnOptions], outputs: Mapping[str, ColumnOptions]
) -> list[str]:
    """Sentences: rows, bytes a row of the prepared arrays as the first rows have them, and where they will lie; the network's size."""
    rows, names = source.count(), [*inputs, *outputs]
    some = Frame(source.head(LOOKED_AT).select(names), base=source.base)
    wanted = {n: (o, n in outputs) for n, o in {**inputs, **outputs}.items()}
    fitted = fit_columns(some, wanted, lambda start, count: np.ones(count, bool))
    targets = {n: fitted[n] for n in outputs}
    store = Prepared({n: fitted[n] for n in inputs}, targets, None, 1.0).store(some)
    each = sum(a.nbytes for s in store.stored.values() for a in s.tensors.values()) / max(some.count(), 1)
    place = "in memory" if rows * each <= IN_MEMORY else "in files, memory-mapped"
    data = (
        f"{rows:,} rows of {len(inputs)} inputs: about {each:,.0f} bytes a row prepared, {_size(rows * each)} {place}"
    )
    if spec.model not in ("auto", "network"):
        return [data]
    network = plan(spec, with_encoders({n: fitted[n] for n in inputs}, rows, Choices()), targets)
    return [data, f"{network.describe()} (vocabularies as the first {LOOKED_AT} rows have them)"]


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"
