"""From a spec (or from data and a target alone) to columns that exist, each with its options; every guess has a reason."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dapeng.columns.base import Column
from dapeng.core.alike import made_alike, of_roots, refused_alike
from dapeng.core.errors import DapengError, DataError, Problem, SpecError
from dapeng.core.followed import unplaced, unwindowed
from dapeng.core.kinds import ColumnOptions
from dapeng.core.kinds import columns as column_types
from dapeng.core.needs import needed_encoders, with_needed
from dapeng.core.spec import Spec
from dapeng.data.groups import BESIDE
from dapeng.data.infer import Guess, infer
from dapeng.data.table import Source


@dataclass
class Chosen:
    """What is read and what is wanted. roles: role -> column. guesses: of columns that nobody typed.

    reasons: path -> (what was chosen where the spec left it open, why), as far as that is known without the data.
    """

    inputs: dict[str, ColumnOptions]
    outputs: dict[str, ColumnOptions]
    roles: dict[str, str] = field(default_factory=dict)
    guesses: list[Guess] = field(default_factory=list)
    reasons: dict[str, tuple[Any, str]] = field(default_factory=dict)
    apart: list[str] = field(default_factory=list)
    """By whose values figures are shown apart."""

    @property
    def worded(self) -> bool:
        """Whether texts take part."""
        return any(o.worded for o in [*self.inputs.values(), *self.outputs.values()])

    @property
    def needed(self) -> list[str]:
        """Columns of the data that take part."""
        roles = [c for r, c in self.roles.items() if r in ("weight", "group", "time", *BESIDE)]
        return list(dict.fromkeys([*self.inputs, *self.outputs, *roles, *self.apart]))


def from_spec(spec: Spec, source: Source) -> Chosen:
    """The spec's columns. Raises DataError, with the nearest name, for one that the data doesn't have."""
    roles = {role: column for column, role in spec.columns.items()}
    problems = []
    named = [(f"{section}.{n}", n) for section in ("inputs", "outputs", "columns") for n in getattr(spec, section)]
    for where, name in [*named, *(("evaluate.by", n) for n in spec.evaluate.apart)]:
        if name not in source.names:
            near = difflib.get_close_matches(name, source.names, 1)
            hint = f"did you mean {near[0]!r}?" if near else "its columns are " + ", ".join(source.names[:20])
            problems.append(Problem(where, f"{source.name} has no column {name!r}", hint))
    if problems:
        raise DataError(problems)
    return Chosen(dict(spec.inputs), dict(spec.outputs), roles, apart=spec.evaluate.apart)


def settle(chosen: Chosen, base: Path | None) -> None:
    """Decide on encoders and decoders before the data is read: encoders that decoders ask for, where none is named; and, of those
    that are named, what files say: shapes of public weights. Raises SpecError for all at once.
    """
    problems: list[Problem] = []
    inputs = made_alike(chosen.inputs)
    needed = needed_encoders(inputs, chosen.outputs)
    chosen.reasons |= {f"inputs.{n}.encoder": (encoder.type, why) for n, (encoder, why) in needed.items()}
    chosen.inputs = _settled(with_needed(inputs, needed), "inputs", "encoder", base, problems)
    chosen.outputs = _settled(chosen.outputs, "outputs", "decoder", base, problems)
    problems += refused_alike(chosen.outputs, chosen.inputs)
    chosen.inputs, chosen.outputs = of_roots(chosen.inputs, chosen.inputs), of_roots(chosen.outputs, chosen.inputs)
    for name, options in chosen.outputs.items():
        problems += unplaced(name, options, chosen.inputs) if options.lies_in_picture else ()
        decoder: Any = getattr(options, "decoder", None)
        problems += () if decoder is None else decoder.unfit(name, chosen.inputs, options)
    problems += unwindowed(chosen.outputs, chosen.inputs)
    if problems:
        raise SpecError(problems)


def _settled(
    columns: Mapping[str, ColumnOptions], side: str, part: str, base: Path | None, problems: list[Problem]
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, options in columns.items():
        network: Any = getattr(options, part, None)
        out[name], within = options, f"{part}."
        try:
            settled = network if network is None else network.located(base).resolved()
            found = options if settled is network else options.model_copy(update={part: settled})
            within = ""
            out[name] = found.settled(base)
        except DapengError as error:
            problems += [Problem(f"{side}.{name}.{within}{p.where}", p.what, p.hint) for p in error.problems]
    return out


def _refuse_strange(
    source: Source, targets: list[str], typed: Mapping[str, ColumnOptions], wanted: Mapping[str, ColumnOptions]
) -> None:
    """Columns that were typed must be there, and on their side."""
    problems = []
    for section, names in (("inputs", typed), ("outputs", wanted)):
        for name in names:
            if name not in source.names:
                near = difflib.get_close_matches(name, source.names, 1)
                hint = f"did you mean {near[0]!r}?" if near else "its columns are " + ", ".join(source.names[:20])
                problems.append(Problem(f"{section}.{name}", f"{source.name} has no column {name!r}", hint))
            elif (name in targets) != (section == "outputs"):
                side = "a target" if name in targets else "not a target"
                problems.append(Problem(f"{section}.{name}", f"{name!r} is {side}", f"--target {', '.join(targets)}"))
    if problems:
        raise DataError(problems)


def refuse_unlearnable(targets: Mapping[str, Column]) -> None:
    """Raise DataError, with all that is wrong, for fitted columns of which nothing can be learnt as outputs."""
    why = {n: c.hopeless() for n, c in targets.items()}
    problems = [Problem(f"outputs.{n}", *w) for n, w in why.items() if w is not None]
    if problems:
        raise DataError(problems)


def from_data(
    source: Source,
    targets: list[str],
    roles: dict[str, str] | None = None,
    typed: Mapping[str, ColumnOptions] | None = None,
    wanted: Mapping[str, ColumnOptions] | None = None,
) -> Chosen:
    """All columns of the data by guess: the targets are wanted, the others are read. typed, wanted: inputs and outputs that
    the user has typed, which are not guessed.
    """
    typed, wanted = dict(typed or {}), dict(wanted or {})
    _refuse_strange(source, targets, typed, wanted)
    guesses = [g for g in infer(source, targets, roles) if g.name not in typed and g.name not in wanted]
    members = column_types.members()
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    found: dict[str, str] = {}
    for guess in guesses:
        if guess.role is not None:
            if guess.role not in ("ignore", "id"):
                found[guess.role] = guess.name
            if guess.target:
                raise DataError(Problem(source.name, f"column {guess.name!r} can't be predicted: {guess.reason}"))
            continue
        options = members[guess.options["type"]].model_validate(guess.options)
        (outputs if guess.target else inputs)[guess.name] = options
    inputs = {n: inputs.get(n) or typed[n] for n in source.names if n in inputs or n in typed}
    outputs = {n: outputs.get(n) or wanted[n] for n in targets if n in outputs or n in wanted}
    if not inputs:
        hint = "; ".join(f"{g.name}: {g.reason}" for g in guesses if not g.target)[:300]
        raise DataError(Problem(source.name, "no column is left to read", hint or "give more columns"))
    return Chosen(inputs, outputs, found, guesses)
