"""Which classical learners are fitted for an output, as products and as baselines, and their fitting within a budget."""

from __future__ import annotations

import time

import numpy as np

from dapeng.core.console import say, warn
from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.core.spec import Spec
from dapeng.learners.base import Fitted, Inputs, Target

FEWEST_ROWS = 8


def chosen_learners(spec: Spec, output: str, inputs: Inputs, target: Target) -> dict[str, tuple[LearnerOptions, bool]]:
    """Learners by name, each with whether it may become (part of) the product; cheap ones first."""
    members = learners.fitting(target.column.task)
    out: dict[str, tuple[LearnerOptions, bool]] = {}
    asked = spec.evaluate.baselines
    wanted = list(members) if asked == "auto" else asked
    for tag in wanted:
        if tag not in members:
            hint = "one of " + ", ".join(members)
            raise SpecError(Problem("evaluate.baselines", f"{tag!r} does not fit a {target.column.type}", hint))
        out[tag] = (members[tag](), False)
    for tag, options in members.items():
        if options.product and spec.model in ("auto", tag):
            out[tag] = (options(), True)
    for name, options in spec.learners.items():
        out[name] = (options, type(options).product)
    if inputs.directions:  # the others may be compared with, and can't be the answer
        out = {n: (o, p and type(o).directed) for n, (o, p) in out.items()}
    readable = {n: (o, p) for n, (o, p) in out.items() if o.reads(inputs, target)}
    alike = (target.classes and len(np.unique(target.values)) < 2) or (target.tags and not target.values.any())
    if len(target.values) < FEWEST_ROWS or alike:  # nothing to learn from
        readable = {n: (o, p) for n, (o, p) in readable.items() if type(o).free}
    return dict(sorted(readable.items(), key=lambda i: (not i[1][1], i[0] != "constant")))


def refuse_unfit(spec: Spec) -> None:
    """Raise SpecError for outputs that the one kind of model which is asked for can't answer."""
    if spec.model in ("auto", "network"):
        return
    problems = []
    for name, column in spec.outputs.items():
        task = column.task or column.type
        fit = [t for t, o in learners.fitting(task).items() if o.product]
        if spec.model not in fit and not any(task in type(o).fits and type(o).product for o in spec.learners.values()):
            what = f"model: {spec.model} has no answer of type {column.type}, which {name} is"
            problems.append(Problem(f"outputs.{name}", what, "model=" + " or ".join(["network", *fit])))
    if problems:
        raise SpecError(problems)


def any_learner(spec: Spec, task: str) -> bool:
    """Whether any learner may be fitted for an output of this task, as a product or as a baseline."""
    members = learners.fitting(task)
    baselines = bool(members) and spec.evaluate.baselines != []
    products = any(options.product and spec.model in ("auto", tag) for tag, options in members.items())
    return baselines or products or bool(spec.learners)


def fit_learners(
    wanted: dict[str, tuple[LearnerOptions, bool]],
    inputs: Inputs,
    target: Target,
    valid: tuple[Inputs, Target] | None,
    seconds: float,
    seed: int,
) -> dict[str, Fitted]:
    """Fit each within its share of `seconds` (CPU); products get two thirds. One that fails is left out, and said."""
    out: dict[str, Fitted] = {}
    products = sum(p for _, p in wanted.values())
    others = len(wanted) - products
    began = time.process_time()
    for name, (options, product) in wanted.items():
        spent = time.process_time() - began
        if not product and spent > seconds and not type(options).free:
            say(f"baseline {name} is left out: the time for baselines is spent")
            continue
        share = seconds * (2 / 3 if product else 1 / 3) / max(products if product else others, 1)
        try:
            fitted = options.fit(inputs, target, valid, share if product else max(share, 3.0), seed)
        except (ValueError, ArithmeticError, MemoryError) as error:
            warn(f"{name} can't be fitted: {error}")
            continue
        fitted.facts.update({"product": product, "type": options.type})
        out[name] = fitted
    return out


def refit_learners(
    fitted: dict[str, Fitted], wanted: dict[str, tuple[LearnerOptions, bool]], inputs: Inputs, target: Target, seed: int
) -> None:
    """Products once more, on training and validation rows together, with what the validation rows have chosen."""
    for name, one in fitted.items():
        options, product = wanted[name]
        again = options.refit(one, inputs, target, seed) if product else None
        if again is not None:
            fitted[name] = again
