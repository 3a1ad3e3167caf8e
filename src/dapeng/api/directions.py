"""Inputs that promise a direction (`monotone`): for which outputs it can be kept, and by which models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dapeng.core.console import say
from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import ColumnOptions
from dapeng.core.spec import Spec
from dapeng.data.table import Source


def promised(inputs: Mapping[str, ColumnOptions]) -> list[str]:
    """Inputs with which predictions may only rise, or only fall."""
    return [n for n, o in inputs.items() if getattr(o, "direction", 0)]


def keep_promises(
    spec: Spec, inputs: Mapping[str, ColumnOptions], outputs: Mapping[str, ColumnOptions], source: Source
) -> None:
    """Raise SpecError where a promise can't be kept, and say what it costs."""
    names = promised(inputs)
    if not names:
        return
    problems = [
        Problem(
            f"inputs.{names[0]}.monotone", f"{output} {why}: rising with a column has no meaning there", "monotone=none"
        )
        for output, options in outputs.items()
        if (why := _unfit(output, options, source))
    ]
    for name in names:
        if getattr(inputs[name], "outliers", "keep") == "missing":
            what = "values past a fence would count as missing, and a promise says nothing of those"
            problems.append(Problem(f"inputs.{name}.outliers", what, f"inputs.{name}.outliers=clip"))
    if spec.model == "network":
        what = "a network can't promise to rise with a column"
        problems.append(
            Problem("model", what, "model: auto, trees or linear; or inputs." + names[0] + ".monotone=none")
        )
    if problems:
        raise SpecError(problems)
    if spec.model == "auto":
        say(
            f"no network is trained: it could not promise what {', '.join(names)} say (monotone); trees and a linear model do"
        )


def _unfit(name: str, options: ColumnOptions, source: Source) -> str:
    """Why an output has no direction; nothing for a number, or one of two labels."""
    kind = options.task or options.type
    if kind == "number":
        return ""
    if not options.labelled:
        return f"is a {options.type}"
    summary: Any = options.summary(True)
    for block in source.blocks([name]):
        summary.add(block.columns.column(name), source.base)
    count = len(options.fitted(name, summary.result(), True).labels)
    return "" if count == 2 else f"has {count} labels"
