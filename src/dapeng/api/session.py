"""What is known before anything is trained: the data opened, the columns chosen, the rows split."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dapeng.api.columns import Chosen, from_data, from_spec, refuse_unlearnable, settle
from dapeng.api.directions import keep_promises, promised
from dapeng.api.judges import with_judges
from dapeng.api.parts import Parts, split_rows
from dapeng.core.console import say, table, warn
from dapeng.core.duration import seconds
from dapeng.core.errors import DataError, Problem, SpecError
from dapeng.core.kinds import ColumnOptions
from dapeng.core.loader import Loaded
from dapeng.core.run import RunFolder
from dapeng.core.spec import Spec
from dapeng.data.held import SMALL_BYTES, TEXT_BYTES, hold
from dapeng.data.open import Opened, open_data
from dapeng.data.table import Source
from dapeng.evaluate.candidates import refuse_unfit
from dapeng.models.build import Choices

FEWEST_ROWS = 8
ROWS_LOOKED_AT = 20_000


@dataclass
class Session:
    """What is known while a run is made."""

    loaded: Loaded
    spec: Spec
    folder: RunFolder
    opened: Opened
    source: Source
    rows: int
    chosen: Chosen
    parts: Parts
    choices: Choices = field(default_factory=Choices)
    began: float = field(default_factory=time.monotonic)
    began_cpu: float = field(default_factory=time.process_time)

    @cached_property
    def data(self) -> str:
        """SHA-256 of the data."""
        return self.opened.fingerprint()

    @property
    def limit(self) -> float | None:
        given = self.spec.train.time_limit
        return None if given is None else seconds(given)

    @property
    def directed(self) -> bool:
        """Whether a column promises that predictions only rise, or only fall, with it."""
        return bool(promised(self.chosen.inputs))

    def pace(self) -> float:
        """CPU seconds that a second of the clock has given so far; at most 1."""
        wall, spent = time.monotonic() - self.began, time.process_time() - self.began_cpu
        return min(1.0, max(0.1, spent / max(wall, 1e-3)))

    def left(self) -> float | None:
        """Seconds until the time limit."""
        return None if self.limit is None else max(self.limit - (time.monotonic() - self.began), 0.1)


def begin(
    loaded: Loaded, folder: RunFolder | None, targets: list[str] | None, objects: Mapping[str, object] | None
) -> Session:
    """Open the data, choose the columns and the split. Nothing is trained yet."""
    spec = loaded.spec
    opened = open_data(spec.data, loaded.folder, objects)
    whole = opened.whole()
    chosen = (
        from_data(whole, targets, dict(spec.columns), spec.inputs, _typed_outputs(loaded))
        if targets
        else from_spec(spec, whole)
    )
    settle(chosen, loaded.folder)
    refuse_unfit(spec.model_copy(update={"outputs": chosen.outputs}))
    chosen.outputs = with_judges(chosen.outputs, loaded.folder)
    if targets:
        spec = spec.model_copy(update={"inputs": chosen.inputs, "outputs": chosen.outputs})
        _say_guesses(chosen)
    if chosen.reasons:
        say(table([(p, str(v), why) for p, (v, why) in chosen.reasons.items()], ("chosen", "value", "because")))
    source, rows = hold(whole, chosen.needed, TEXT_BYTES if chosen.worded else SMALL_BYTES)
    refuse_few(whole.name, rows)
    refuse_hopeless(source, chosen.outputs)
    keep_promises(spec, chosen.inputs, chosen.outputs, source)
    parts = split_rows(spec, chosen, opened, source, rows)
    say(f"data: {whole.name}, {rows:,} rows; {parts.describe()} ({parts.reason})")
    for note in [*opened.notes(), *parts.notes]:
        told = f"{note.where}: {note.what}"
        warn(told) if note.kind == "warning" else say(f"{note.kind}: {told}")
    _warn_of_traps(source, chosen)
    choices = Choices(dict(chosen.reasons))
    return Session(loaded, spec, folder or RunFolder(Path("runs")), opened, source, rows, chosen, parts, choices)


def _typed_outputs(loaded: Loaded) -> dict[str, ColumnOptions]:
    """Outputs whose type was typed beside the data; of the others it is guessed."""
    every = [o.removeprefix("typed: ").partition("=")[0] for o in loaded.origins.values() if o.startswith("typed: ")]
    typed = {n: {t for t in every if t == f"outputs.{n}" or t.startswith(f"outputs.{n}.")} for n in loaded.spec.outputs}
    names = {n for n, told in typed.items() if told & {f"outputs.{n}", f"outputs.{n}.type"}}
    half = sorted(n for n, told in typed.items() if told and n not in names)
    if half:
        what = "its type is guessed from the data: say it too"
        raise SpecError([Problem(f"outputs.{n}", what, f"outputs.{n}='{{type: category, ...}}'") for n in half])
    return {n: o for n, o in loaded.spec.outputs.items() if n in names}


def _warn_of_traps(source: Source, chosen: Chosen) -> None:
    """What makes figures too good or labels too many, said before training; `dapeng check` looks at more."""
    from dapeng.checks.look import traps

    names = [n for n, o in {**chosen.inputs, **chosen.outputs}.items() if not o.reads_files]
    for finding in traps(source.head(ROWS_LOOKED_AT).select(names), chosen.inputs, chosen.outputs):
        warn(f"{finding.kind}: {finding.text}")


def _say_guesses(chosen: Chosen) -> None:
    rows = [
        (g.name, "output" if g.target else g.role or "input", g.options.get("type", ""), g.reason)
        for g in chosen.guesses
    ]
    say(table(rows, ("column", "is", "type", "because")))


def refuse_few(name: str, rows: int) -> None:
    """Raise DataError where rows are too few to learn from."""
    if not rows:
        raise DataError(Problem(name, "has no rows"))
    if rows < FEWEST_ROWS:
        what = f"{rows} rows are too few to train and to test on; {FEWEST_ROWS} is the least"
        raise DataError(Problem(name, what, "give more rows"))


def refuse_hopeless(source: Source, outputs: Mapping[str, ColumnOptions]) -> None:
    """Raise DataError for a target without labels, or with a single one, in all of the rows."""
    fitted = {}
    for name, options in outputs.items():
        if not options.of_labels:
            continue
        summary: Any = options.summary(True)
        for block in source.blocks([name]):
            summary.add(block.columns.column(name), source.base)
        fitted[name] = options.fitted(name, summary.result(), True)
    refuse_unlearnable(fitted)
