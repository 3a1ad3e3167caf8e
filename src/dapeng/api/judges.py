"""Runs that judge what others draw: found, or trained once where a recipe is named that has no run yet."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from dapeng.core.console import say
from dapeng.core.errors import DapengError, Problem, SpecError
from dapeng.core.files import Held, lock
from dapeng.core.machine import cache_folder
from dapeng.core.run import RunFolder, runs_in
from dapeng.evaluate.tasks.base import task_of

RECIPE = "recipe:"
LONGEST_WAIT = 3600.0
"""Seconds for another process that trains the same judge."""


def with_judges(outputs: dict[str, Any], base: Path | None) -> dict[str, Any]:
    """Options of outputs with the folders of their judges in place of what was said of them. Raises SpecError where one can't judge."""
    return {n: _with_judge(n, o, base) if getattr(o, "judge", None) else o for n, o in outputs.items()}


def refuse_judges(outputs: dict[str, Any], base: Path | None) -> None:
    """Raise SpecError where what is said of a judge leads to none, or to one that can't judge. Nothing is trained for it."""
    problems: list[Problem] = []
    for name, options in outputs.items():
        if not getattr(options, "judge", None):
            continue
        try:
            _with_judge(name, options, base, False)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)


def _with_judge(name: str, options: Any, base: Path | None, train: bool = True) -> Any:
    """train: whether the judge that a recipe names is trained where it isn't there; else the options stay as they are."""
    asked: str = options.judge
    try:
        named = asked.startswith(RECIPE)
        path = _of_recipe(asked.removeprefix(RECIPE), train) if named else (base or Path()) / asked
        if path is None:
            return options
        task_of(options.task or options.type).judge(path.resolve())
    except DapengError as error:
        raise SpecError([Problem(f"outputs.{name}.judge", p.what, p.hint) for p in error.problems]) from None
    return options.model_copy(update={"judge": str(path.resolve())})


def _of_recipe(recipe: str, train: bool) -> Path | None:
    """A finished run of a recipe as it stands now, among those that are kept for judging; trained where there is none, or None."""
    from dapeng.api import recipe_file

    file = recipe_file(recipe)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    place = cache_folder() / "judges" / f"{recipe}-{digest}"
    if not train:
        return _finished(place)
    place.mkdir(parents=True, exist_ok=True)
    try:
        with lock(place / ".lock", LONGEST_WAIT):
            return _finished(place) or _trained(recipe, place)
    except Held:
        raise SpecError(f"another process has been training {recipe} for an hour", hint="end it, or wait") from None


def _finished(place: Path) -> Path | None:
    return next((r.path for r in reversed(runs_in(place)) if r.about().get("status") == "done"), None)


def _trained(recipe: str, place: Path) -> Path:
    from dapeng.api import train

    say(f"judge: training {RECIPE}{recipe} once, to judge what is drawn; it is kept in {place}")
    run = train(f"{RECIPE}{recipe}", overrides=["evaluate.baselines=[]"], runs=place)
    say(f"judge: {RECIPE}{recipe} is trained")
    return RunFolder(run.path).path
