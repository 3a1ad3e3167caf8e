"""Every check over the rows of an address: `dapeng check`, and the cheap ones before a training.

Looks at up to a hundred thousand rows, a column at a time, with array operations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from dapeng.checks.base import Finding, Seen
from dapeng.core.kinds import ColumnOptions, checks
from dapeng.core.kinds import columns as column_types
from dapeng.core.spec import Spec
from dapeng.data.infer import Guess
from dapeng.data.open import Opened
from dapeng.data.table import PARTS, Frame, Source, joined

ROWS = 100_000
SEVERITIES = ("error", "warning", "info")
Columns = dict[str, ColumnOptions]


def check(
    opened: Opened,
    plan: Spec | Iterable[Guess],
    sides: np.ndarray | None = None,
    folds: bool = False,
    seconds: float = 0.0,
    notes: list[str] | None = None,
) -> list[Finding]:
    """Findings, the worst first. plan: a spec, or guesses of `infer`.

    sides: (rows,) int8 of the whole data, as training would split it (folds: the fold of each row); None: only parts that are
    given count. seconds: CPU time for dear checks; 0: they are left out. notes: grows by what was not looked at.
    """
    inputs, outputs = _plan(plan)
    source = opened.whole()
    wanted = [n for n in source.names if n in inputs or n in outputs]
    table, places, parts = _looked_at(opened, wanted)
    if sides is not None:
        parts = sides[places]
    seed = plan.train.seed if isinstance(plan, Spec) else 0
    seen = Seen(table, inputs, outputs, places, source, parts, folds, seconds, seed)
    members = sorted(checks.members().values(), key=lambda m: m.order)
    found = [_placed(f, places, source) for member in members for f in member().look(seen)]
    if notes is not None:
        notes += seen.notes
    return sorted(found, key=lambda f: SEVERITIES.index(f.severity))


def _placed(finding: Finding, places: np.ndarray, source: Source) -> Finding:
    rows = tuple(int(places[r]) for r in finding.rows)
    return replace(finding, rows=rows, where=tuple(source.where(r) for r in rows))


def traps(table: pa.Table, inputs: Mapping[str, ColumnOptions], outputs: Mapping[str, ColumnOptions]) -> list[Finding]:
    """What the checks find that are cheap enough for every training: copies of a target, labels that only look alike."""
    seen = Seen(table, inputs, outputs, np.arange(len(table)), Frame(table))
    return [f for member in checks.members().values() if member.always for f in member().look(seen)]


def _plan(plan: Spec | Iterable[Guess]) -> tuple[Columns, Columns]:
    """Options of the inputs and of the outputs, whether said by a spec or guessed."""
    if isinstance(plan, Spec):
        return dict(plan.inputs), dict(plan.outputs)
    inputs: Columns = {}
    outputs: Columns = {}
    for guess in plan:
        if guess.role is None and guess.options:
            options = column_types.members()[guess.options["type"]].model_validate(guess.options)
            (outputs if guess.target else inputs)[guess.name] = options
    return inputs, outputs


def _looked_at(opened: Opened, names: list[str]) -> tuple[pa.Table, np.ndarray, np.ndarray | None]:
    """Rows of every part, their positions in the whole data, and their parts (None where the data came as one)."""
    if len(opened.parts) == 1:
        table = opened.whole().head(ROWS).select(names)
        return table, np.arange(len(table)), None
    ordered = [p for p in PARTS if p in opened.parts]
    heads = [opened.parts[p].head(ROWS // len(ordered)).select(names) for p in ordered]
    starts = np.cumsum([0, *(opened.parts[p].count() for p in ordered[:-1])])
    places = np.concatenate([start + np.arange(len(head)) for start, head in zip(starts, heads)])
    parts = np.concatenate([np.full(len(head), PARTS.index(p), np.int8) for p, head in zip(ordered, heads)])
    return joined(heads), places, parts
