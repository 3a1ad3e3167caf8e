"""What a Python user needs: train, load, init, check; and the Run that they give.

run = dapeng.train("reviews.csv", outputs="sentiment")
run.evaluate(); run.predict(rows); run.explain(rows); run.export("onnx"); run.compress("int8"); run.serve()
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dapeng.core.errors import DataError, RunError, SpecError
from dapeng.core.loader import Loaded, load_spec
from dapeng.core.secrets import redacted
from dapeng.core.spec import Spec

__all__ = ["Run", "check", "compare", "copy_recipe", "init", "load", "recipe_file", "recipes", "train"]


def __getattr__(name: str) -> Any:
    if name == "Run":
        from dapeng.api.run import Run

        return Run
    raise AttributeError(f"module 'dapeng.api' has no attribute {name!r}")


def train(
    what: Any = None,
    outputs: Any = None,
    *,
    overrides: list[str] | None = None,
    target: list[str] | None = None,
    resume: str | Path | None = None,
    runs: str | Path = "runs",
    **spec: Any,
) -> Any:
    """Train, evaluate and write the report.

    what: a spec (a path, a mapping, a Spec), `recipe:NAME`, or data (a path, a data frame, a list of rows) together with
    outputs. outputs: a column to predict, several, or a mapping of columns as in a spec. overrides: "key.path=value".
    target: as outputs, by name alone. resume: a run that was stopped. runs: folder for the run folder. spec: further keys of
    a spec (inputs, columns, train, ...). Returns the Run. Raises DapengError, with everything that is wrong at once.

        dapeng.train("reviews.csv", outputs="sentiment", train={"epochs": 3})
    """
    from dapeng.api.run import Run
    from dapeng.api.start import resumed, started
    from dapeng.core.console import warn_anew

    warn_anew()
    if resume is not None:
        return Run(resumed(Path(resume), list(overrides or [])))
    loaded, targets, objects, name = _asked(what, outputs, list(overrides or []), target, spec)
    return Run(started(loaded, targets, objects, Path(runs), name))


def _asked(
    what: Any, outputs: Any, overrides: list[str], target: list[str] | None, spec: dict[str, Any]
) -> tuple[Loaded, list[str] | None, Any, str]:
    """The spec, the targets to infer columns for, data given as objects, and a name for the run."""
    if isinstance(what, Spec):
        return Loaded(what, what.dump(), {}, "the spec"), None, None, what.name or "run"
    if isinstance(what, dict) and "outputs" in what:
        loaded = load_spec(what, overrides)
        return loaded, None, None, loaded.spec.name or "run"
    if isinstance(what, str) and what.startswith("recipe:"):
        what = recipe_file(what.removeprefix("recipe:"))
    path = isinstance(what, (str, Path))
    if path and str(what).endswith((".yaml", ".yml")):
        loaded = load_spec(str(what), overrides)
        return loaded, None, None, loaded.spec.name or Path(str(what)).stem
    if what is None:
        raise SpecError("nothing to train", hint="dapeng train SPEC, or dapeng train DATA --target COLUMN")
    named = [outputs] if isinstance(outputs, str) else list(outputs) if isinstance(outputs, (list, tuple)) else None
    targets = target or named
    if not targets and not outputs:
        raise SpecError(f"which column of {what if path else 'the data'} is wanted?", hint="add --target COLUMN")
    wanted = outputs if isinstance(outputs, dict) else dict.fromkeys(targets or [], "category")
    raw = {**({"data": str(what)} if path else {}), "outputs": wanted, **spec}
    loaded = load_spec(raw, overrides)
    objects = None if path else {"all": what}
    stem = redacted(str(what)).removeprefix("sample:").rstrip("/\\") if path else "run"
    infer = targets if not isinstance(outputs, dict) and "inputs" not in spec else None
    return loaded, infer, objects, loaded.spec.name or Path(stem).name.partition(".")[0]


def load(path: str | Path) -> Any:
    """A trained run from its folder, checked file by file. Raises RunError if anything is missing or damaged."""
    from dapeng.api.run import Run
    from dapeng.core.run import RunFolder

    return Run(RunFolder.open(path))


def init(data: Any, target: list[str] | None = None) -> str:
    """A spec for the data, as YAML text with the reason of each guess."""
    from dapeng.core.secrets import redacted
    from dapeng.core.spec import Data
    from dapeng.data.infer import answers, infer, init_yaml
    from dapeng.data.open import open_data

    path = isinstance(data, (str, Path))
    opened = open_data(Data(path=str(data)) if path else Data(), None, None if path else {"all": data})
    source = opened.whole()
    guesses = infer(source, target)
    found = [] if target else answers(source, guesses)
    # as it was typed, so that a spec in the current folder finds it
    return init_yaml(source, infer(source, found) if found else guesses, redacted(str(data)) if path else None)


def check(
    spec: Any, overrides: list[str] | None = None, *, fast: bool = False, notes: list[str] | None = None
) -> list[Any]:
    """Findings about a spec's data: leakage, duplicates, outliers, wrong labels, constants, rare labels, unreadable cells.

    fast: without the search for wrong labels, which trains. notes: grows by what was not looked at, and what the data costs.
    """
    from dapeng.api.checking import checked

    loaded = spec if isinstance(spec, Loaded) else load_spec(spec, overrides or [])
    return checked(loaded, fast, notes if notes is not None else [])


def compare(first: str | Path, second: str | Path) -> Any:
    """Two runs on the same test rows, paired: what differs, and whether it is more than chance."""
    from dapeng.core.run import RunFolder
    from dapeng.track.compare import compare as paired

    return paired(RunFolder.open(first), RunFolder.open(second))


def recipes() -> list[dict[str, Any]]:
    """What ships: name, what for, how long it takes, what it reaches."""
    out = []
    for path in sorted(_recipe_folder().glob("*.yaml")):
        head = [
            line.lstrip("# ").rstrip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")
        ]
        out.append({"recipe": path.stem, "what": head[0] if head else ""})
    return out


def recipe_file(name: str) -> Path:
    """The file of a recipe. Raises SpecError, with the nearest name, if there is none."""
    import difflib

    path = _recipe_folder() / f"{name}.yaml"
    if not path.is_file():
        known = [p.stem for p in _recipe_folder().glob("*.yaml")]
        near = difflib.get_close_matches(name, known, 1)
        raise SpecError(
            f"there is no recipe {name!r}", hint=f"did you mean {near[0]!r}?" if near else ", ".join(sorted(known))
        )
    return path


def copy_recipe(name: str, to: str | Path = ".") -> Path:
    """A recipe as a file of your own. Raises DataError if there is one of that name already."""
    target = Path(to) / f"{name}.yaml"
    source = recipe_file(name)
    if target.exists():
        raise DataError(f"{target} exists already", hint="remove it, or copy into another folder")
    try:
        target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise RunError(f"can't write {target}: {error.strerror}") from None
    return target


def _recipe_folder() -> Path:
    return Path(__file__).parent.parent / "recipes"
