"""Which engine writes: the one that was asked for, or the first that can, with the reason."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from dapeng.core.console import warn
from dapeng.core.errors import RunError
from dapeng.core.kinds import engines
from dapeng.product.product import Product
from dapeng.product.writing import Engine, language_model


def choose(product: Product, folder: Any = None, engine: str = "auto", weights: str = "auto") -> Engine:
    """The engine of a language model. folder: its `dapeng.core.run.RunFolder`, where what an engine needs may be kept.

    Raises RunError for an engine or weights that there are not, and where the one asked for can't write this; MissingExtra.
    """
    language_model(product)
    members = engines.members()
    _known("engine", engine, ("auto", *members))
    if engine != "auto":
        _known(f"weights of {engine}", weights, _weights(members[engine]))
        asked = members[engine](weights=weights)
        refusal = asked.refusal(product)
        if refusal:
            raise RunError(f"{engine}: {refusal}", hint="--engine native")
        return asked.open(product, folder)
    able = sorted(members.values(), key=lambda m: m.order)
    _known("weights", weights, tuple(dict.fromkeys(w for m in able for w in _weights(m))))
    asked = [m(weights=weights) for m in able if weights in _weights(m)]
    *first, last = [m for m in asked if m.suits(product) and not m.refusal(product)]
    for member in first:
        try:
            return member.open(product, folder)
        except RunError as error:
            warn(f"{member.type} is left out: {error.problems[0].what}")
    return last.open(product, folder)


def _weights(member: Any) -> tuple[str, ...]:
    return get_args(member.model_fields["weights"].annotation)


def _known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = difflib.get_close_matches(value, known, 1)
        raise RunError(
            f"there is no {what} {value!r}", hint=f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(known)
        )
