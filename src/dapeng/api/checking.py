"""`dapeng check`: the data looked at as training would use it, its split included."""

from __future__ import annotations

from dapeng.api.columns import from_spec, settle
from dapeng.api.parts import split_rows
from dapeng.checks.base import Finding
from dapeng.checks.cost import cost
from dapeng.checks.look import check
from dapeng.core.errors import DapengError
from dapeng.core.loader import Loaded
from dapeng.data.open import open_data

SECONDS = 60.0
"""CPU time of the learners that look for wrong labels."""


def checked(loaded: Loaded, fast: bool, notes: list[str]) -> list[Finding]:
    """Findings, the worst first. notes: grows by what was not looked at, and by what the data costs. Raises DataError."""
    spec = loaded.spec
    opened = open_data(spec.data, loaded.folder)
    whole = opened.whole()
    chosen = from_spec(spec, whole)
    found: list[Finding] = []
    sides, folds = None, False
    try:
        parts = split_rows(spec, chosen, opened, whole, whole.count())
        folds = parts.folds is not None
        sides = parts.sides if parts.folds is None else parts.folds
        notes.append(f"looked at as training would split it: {parts.describe()} ({parts.reason})")
    except DapengError as error:
        found = [Finding("split", (), (), f"the rows can't be split: {p.what}", "error") for p in error.problems]
    found += check(opened, spec, sides, folds, 0.0 if fast else SECONDS, notes)
    if fast:
        notes.append("wrong labels are not looked for (--fast)")
    try:
        settle(chosen, loaded.folder)
        notes += cost(spec, whole, chosen.inputs, chosen.outputs)
    except DapengError as error:
        notes.append(f"what the data costs can't be told: {error}")
    return found
