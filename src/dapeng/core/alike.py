"""Columns that are `like` another one share its vocabulary: they follow it in what that depends on, and are fitted together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import ColumnOptions

OWN = ("max_length",)
"""What an output can have otherwise than the input that it is like."""


def root_of(name: str, columns: Mapping[str, ColumnOptions]) -> str:
    """The column whose vocabulary this one has: itself, where it is like no other."""
    seen: list[str] = []
    while name in columns and name not in seen:
        seen.append(name)
        name = getattr(columns[name], "like", None) or name
    return seen[-1]


def of_roots(columns: Mapping[str, ColumnOptions], inputs: Mapping[str, ColumnOptions]) -> dict[str, Any]:
    """The same columns, like the one that theirs is like, and so on: all of a chain have one table."""
    out = {}
    for name, options in columns.items():
        root = root_of(name, {**inputs, name: options})
        chain = getattr(options, "like", None) is not None and root != name
        out[name] = options.model_copy(update={"like": root}) if chain else options
    return out


def made_alike(inputs: Mapping[str, ColumnOptions]) -> dict[str, Any]:
    """The same inputs; those that are like another with its settings, where they name none. Raises SpecError where they name others."""
    out, problems = {}, []
    for name, options in inputs.items():
        first = inputs[root_of(name, inputs)]
        taken = {k: getattr(first, k) for k in type(options).alike if k not in options.model_fields_set}
        out[name] = options if first is options else options.model_copy(update=taken)
        for key in (k for k in type(options).alike if _width(getattr(out[name], k)) != _width(getattr(first, k))):
            what = f"{name} shares its table with {root_of(name, inputs)}, which has another {key}"
            problems.append(Problem(f"inputs.{name}.{key}", what, f"remove it, or `like` of {name}"))
    if problems:
        raise SpecError(problems)
    return out


def refused_alike(outputs: Mapping[str, ColumnOptions], inputs: Mapping[str, ColumnOptions]) -> Iterator[Problem]:
    """What is wrong with outputs that are like another column: their tokens are those of an input, whose settings hold for them."""
    for name, options in outputs.items():
        like = getattr(options, "like", None)
        if like is None:
            continue
        root = root_of(name, {**inputs, name: options})
        if root not in inputs:
            yield Problem(
                f"outputs.{name}.like", f"{like!r} is no input, whose tokens this could have", _inputs(inputs)
            )
            continue
        if getattr(options, "chat", False):
            what = "a conversation has marks of its own, which the tokens of an input lack"
            yield Problem(f"outputs.{name}.like", what, "remove it, or chat")
        for key in (k for k in type(options).alike if k in options.model_fields_set and k not in OWN):
            what = f"{name} has the tokens of {root}, whose settings hold for both"
            yield Problem(f"outputs.{name}.{key}", what, f"remove it, or set inputs.{root}.{key}")
        if getattr(getattr(options, "decoder", None), "unfused", False):
            continue  # it has no table
        both = [
            getattr(getattr(c, p, None), "embed_dim", None)
            for c, p in ((options, "decoder"), (inputs[root], "encoder"))
        ]
        if None not in both and both[0] != both[1]:
            what = f"{name} shares its table with {root}, whose vectors have {both[1]} numbers and not {both[0]}"
            yield Problem(f"outputs.{name}.decoder.embed_dim", what, f"outputs.{name}.decoder.embed_dim={both[1]}")


def _inputs(inputs: Mapping[str, ColumnOptions]) -> str:
    return f"one of {', '.join(inputs)}, or remove it" if inputs else "remove it"


def _width(value: Any) -> Any:
    """Of an encoder, the width of its table, in which alone it must equal the other's; any other value as it is."""
    return getattr(value, "embed_dim", value)
