"""`dapeng check`: the data looked at as training would use it, its split included; and all that training would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from dapeng.api.columns import Chosen, from_spec, settle
from dapeng.api.directions import keep_promises
from dapeng.api.judges import refuse_judges
from dapeng.api.parts import Parts, split_rows
from dapeng.api.session import refuse_few, refuse_hopeless
from dapeng.api.trial import LOOKED_AT, Trial, tried
from dapeng.checks.base import SHOWN, Finding
from dapeng.checks.cost import cost
from dapeng.checks.look import SEVERITIES, check
from dapeng.core.errors import DapengError
from dapeng.core.loader import Loaded
from dapeng.core.spec import Spec
from dapeng.data.open import Opened, open_data
from dapeng.data.table import Source
from dapeng.evaluate.candidates import refuse_unfit

SECONDS = 60.0
"""CPU time of the learners that look for wrong labels."""
REFUSED = "refused"
"""Kind of a finding that training would end with."""


def refuse_spec(loaded: Loaded) -> None:
    """Raise SpecError, with all that is wrong, for what no data could mend: a column without what it lies in, no such judge, ..."""
    _settled(Chosen(dict(loaded.spec.inputs), dict(loaded.spec.outputs)), loaded)


def checked(loaded: Loaded, fast: bool, notes: list[str]) -> list[Finding]:
    """Findings, the worst first. notes: grows by what was not looked at, and by what the data costs.

    Raises DataError where there are no rows to look at, SpecError where the spec is wrong whatever the data.
    """
    spec = loaded.spec
    opened = open_data(spec.data, loaded.folder)
    whole = opened.whole()
    chosen = _settled(from_spec(spec, whole), loaded)
    refused: list[Finding] = []
    parts = _split(spec, chosen, opened, whole, refused, notes)
    folds = parts is not None and parts.folds is not None
    sides = None if parts is None else parts.folds if folds else parts.sides
    found = check(opened, spec, sides, folds, 0.0 if fast else SECONDS, notes)
    if fast:
        notes.append("wrong labels are not looked for (--fast)")
    trial = _tried(spec, chosen, whole, None if folds else sides, refused)
    if trial is not None:
        notes += cost(spec, whole.count(), trial.inputs, trial.targets, trial.store)
        found += _unreadable(trial, found)
    return _together([replace(f, columns=tuple(c for c in f.columns if c in chosen.needed)) for f in refused], found)


def _settled(chosen: Chosen, loaded: Loaded) -> Chosen:
    settle(chosen, loaded.folder)
    refuse_unfit(loaded.spec.model_copy(update={"outputs": chosen.outputs}))
    refuse_judges(chosen.outputs, loaded.folder)
    return chosen


def _split(
    spec: Spec, chosen: Chosen, opened: Opened, whole: Source, refused: list[Finding], notes: list[str]
) -> Parts | None:
    """The rows split as training would; None where they can't be, which `refused` then says."""
    rows = whole.count()
    with _telling(refused):
        refuse_few(whole.name, rows)
    with _telling(refused):
        few = rows <= LOOKED_AT
        refuse_hopeless(whole, {n: o for n, o in chosen.outputs.items() if few or not o.reads_files})
    with _telling(refused):
        keep_promises(spec, chosen.inputs, chosen.outputs, whole)
    with _telling(refused, "split", "the rows can't be split: "):
        parts = split_rows(spec, chosen, opened, whole, rows)
        notes.append(f"looked at as training would split it: {parts.describe()} ({parts.reason})")
        return parts
    return None


def _tried(spec: Spec, chosen: Chosen, whole: Source, sides: np.ndarray | None, refused: list[Finding]) -> Trial | None:
    with _telling(refused):
        return tried(spec, chosen, whole, sides)
    return None


@contextmanager
def _telling(refused: list[Finding], kind: str = REFUSED, before: str = "") -> Iterator[None]:
    """What training would end with becomes findings, with the column that each is about, where it is about one."""
    try:
        yield
    except DapengError as error:
        for p in error.problems:
            where = f"{p.where}: " if p.where and not before else ""
            columns = (p.where.removeprefix("inputs.").removeprefix("outputs."),) if p.where else ()
            refused.append(Finding(kind, columns, (), f"{where}{before}{p.what}", "error", hint=p.hint))


def _unreadable(trial: Trial, found: list[Finding]) -> list[Finding]:
    """Cells that training would leave out, of columns of which nobody has said so."""
    told = {c for f in found if f.kind == "unreadable" for c in f.columns}
    bad = [q for q in trial.store.quarantined if q.column not in told]
    out = []
    for name in dict.fromkeys(q.column for q in bad):
        some = [q for q in bad if q.column == name]
        text = (
            f"{name}: {len(some)} of {trial.store.rows:,} cells looked at can't be read; their rows would be left out"
        )
        shown = some[:SHOWN]
        out.append(
            Finding(
                "unreadable",
                (name,),
                tuple(q.row for q in shown),
                text,
                examples=tuple(q.reason for q in shown),
                where=tuple(q.where for q in shown),
            )
        )
    return out


def _together(refused: list[Finding], found: list[Finding]) -> list[Finding]:
    """What training refuses first; of a column only once, and without the warning that says less of the same cells."""
    errors = {c for f in found if f.severity == "error" for c in f.columns}
    kept = [f for f in refused if not (f.kind == REFUSED and f.columns and set(f.columns) <= errors)]
    columns = {c for f in kept for c in f.columns}
    rest = [f for f in found if not (f.kind == "unreadable" and set(f.columns) <= columns)]
    return sorted([*kept, *rest], key=lambda f: SEVERITIES.index(f.severity))
