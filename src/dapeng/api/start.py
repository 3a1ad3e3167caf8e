"""Begin a run, or go on with one; whatever happens, the run folder says how it ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from dapeng.core.console import say
from dapeng.core.duration import words
from dapeng.core.errors import DapengError, Problem, RunError, SpecError, TrainingError
from dapeng.core.files import Held, lock, write_yaml
from dapeng.core.loader import Loaded, load_spec
from dapeng.core.run import FOLDS, TRAINING, RunFolder
from dapeng.core.spec import plain

CHANGEABLE = ("train.time_limit=", "train.checkpoint_every=", "evaluate.")
"""What may be typed beside --resume once there is a checkpoint."""


def started(
    loaded: Loaded, targets: list[str] | None, objects: Mapping[str, object] | None, runs: Path, name: str
) -> RunFolder:
    """A new run, from its data to its report."""
    from dapeng.api.session import begin

    if _rank():
        _join(lambda: begin(loaded, None, targets, objects))

    session = begin(loaded, None, targets, objects)  # nothing is left behind for data that can't be used
    folder = session.folder = RunFolder.create(runs, name)
    asked = {**plain(session.spec), "data": _absolute(loaded, session.spec)}
    write_yaml(folder.path / "spec.yaml", asked, "what was asked; paths are absolute")
    return _finished(folder, lambda: session, resume=False)


def _rank() -> int:
    """Which of torchrun's processes this is."""
    return int(os.environ.get("RANK", "0"))


def _join(prepare: Callable[[], Any], resume: Path | None = None) -> NoReturn:
    """Another rank of a run: it trains with rank 0, says nothing, and leaves nothing behind. Ends the process."""
    from dapeng.api.training import make_network_only
    from dapeng.train.loop import Stopped
    from dapeng.train.strategies import leave

    status = 0
    with tempfile.TemporaryDirectory() as place:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
            session = prepare()
            session.folder = RunFolder.create(place, "rank")
            for kept in ("checkpoints", FOLDS):
                if resume is not None and (resume / kept).is_dir():
                    shutil.copytree(resume / kept, session.folder.path / kept)
            try:
                make_network_only(session, resume is not None)
            except Stopped:
                status = 2
        leave()
    raise SystemExit(status)


def _absolute(loaded: Loaded, spec: Any) -> dict[str, Any]:
    """The data section with paths that hold wherever the run folder goes."""
    from dapeng.data.open import absolute

    data = plain(spec.data)
    base = loaded.folder or Path.cwd()
    for key in spec.data.addresses:
        if isinstance(data.get(key), str):
            data[key] = absolute(data[key], base)
        elif isinstance(data.get(key), list):
            data[key] = [absolute(a, base) for a in data[key]]
    for part in data.get("mixture") or ():
        named = part["data"]
        part["data"] = absolute(named, base) if isinstance(named, str) else [absolute(a, base) for a in named]
    return data


def resumed(path: Path, overrides: list[str]) -> RunFolder:
    """Go on with a run that was stopped. Raises RunError if it is done already."""
    folder = RunFolder.open(path)
    if folder.about().get("status") == "done":
        raise RunError(f"{path} is done already", hint=f"dapeng evaluate {path}")
    if not folder.has("spec.yaml"):
        raise RunError(f"{path} has no spec.yaml: it stopped before it began", hint="start it anew")
    fixed = [o for o in overrides if not o.startswith(CHANGEABLE)]
    if fixed and (folder.checkpoints().steps() or (path / FOLDS).is_dir()):
        what = "a run that goes on keeps its settings, or it would not be the same run"
        raise SpecError([Problem(o, what, "start a new run for it") for o in fixed])
    loaded = load_spec(folder.file("spec.yaml"), overrides)
    if not loaded.spec.data.named:
        raise SpecError(f"{path} was trained from data in memory, which is gone", hint="start it anew from Python")
    from dapeng.api.session import begin

    if _rank():
        _join(lambda: begin(loaded, None, None, None), path)
    return _finished(folder, lambda: begin(loaded, folder, None, None), resume=True)


def _finished(folder: RunFolder, prepare: Callable[[], Any], resume: bool) -> RunFolder:
    from dapeng.api.training import make

    with _alone(folder), _marked(folder), _ended_by_sigterm():
        session = prepare()
        if resume:
            _same_data(folder, session.data)
            folder.reopen()
        _written(folder, make(session, resume))
    shutil.rmtree(folder.path / FOLDS, ignore_errors=True)
    metrics = folder.read_json("metrics.json")
    said = "\n".join([metrics.get("verdict", ""), *metrics.get("notes", [])])
    say(f"\n{said}\n")
    seconds = metrics.get("seconds", {})
    if seconds:
        say(f"took {words(seconds['wall'])} ({seconds['cpu']:.0f} CPU seconds); report: {folder.path / 'report.html'}")
    return folder


def _written(folder: RunFolder, product: Any) -> None:
    """The end of a run that is trained: its manifest, explanation and report; marked done when all are there."""
    from dapeng.report.write import write_report
    from dapeng.train.strategies import leave

    leave()
    folder.manifest()
    _explain(folder, product)
    write_report(folder)
    # last, so that a run that is killed before can still be resumed to its end
    folder.mark("done", headline=_headline(folder))


@contextlib.contextmanager
def _marked(folder: RunFolder) -> Iterator[None]:
    """However a run ends before its end, its status says so: stopped, or failed, be the error expected or not."""
    from dapeng.train.loop import Stopped

    try:
        yield
    except Stopped:
        folder.mark("stopped")
        kept = folder.checkpoints().steps() or (folder.path / FOLDS).is_dir()
        what = f"a checkpoint is safe in {folder.path}" if kept else f"before the first checkpoint of {folder.path}"
        raise TrainingError(f"stopped; {what}", hint=f"dapeng train --resume {folder.path}") from None
    except Exception as error:
        unexpected = "" if isinstance(error, DapengError) else f"unexpected {type(error).__name__}: "
        with contextlib.suppress(DapengError, OSError):  # on a full disk there is no room for the mark either
            folder.mark("failed", error=f"{unexpected}{error}")
        raise
    except KeyboardInterrupt:
        folder.mark("stopped")
        say(f"stopped; go on with: dapeng train --resume {folder.path}")
        raise


@contextlib.contextmanager
def _alone(folder: RunFolder) -> Iterator[None]:
    """No other process trains this run. The system lets go of the lock when a process dies."""
    try:
        with lock(folder.path / TRAINING, 0.2):  # a list of runs looks for a moment whether it is held
            yield
    except Held:
        what = f"{folder.path} is being trained by another process"
        raise RunError(what, hint="wait for it, or end it") from None


def _same_data(folder: RunFolder, now: str) -> None:
    """What was trained so far was trained on these rows."""
    before = folder.about().get("data")
    if before is not None and before != now:
        what = f"the data has changed since {folder.path} began: a run that goes on needs the very same rows"
        raise RunError(what, hint="bring the old data back, or start a new run")


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends a run in words. (While the network trains, the loop listens instead, and saves first.)"""
    from dapeng.train.loop import Stopped

    def stop(*_: object) -> None:
        raise Stopped

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _headline(folder: RunFolder) -> str:
    """One figure for lists of runs."""
    found = folder.read_json("metrics.json").get("headline") or {}
    known = found.get("value") is not None  # no test row may have the true answer
    return f"{found['output']} {found['metric']} {found['value']:.4g}" if known else ""


def _explain(folder: RunFolder, product: Any) -> None:
    """A first explanation for the report, and which columns count for the verdict; a run is no worse without one."""
    from dapeng.explain.explain import explain

    try:
        found = explain(folder, product, None, 4, 4.0).plain()
    except DapengError as error:
        say("not explained: " + "; ".join(p.what for p in error.problems))
        return
    metrics = folder.read_json("metrics.json")
    for output, columns in found["importance"].items():
        metrics["outputs"][output]["importance"] = {"columns": columns, **_how(found["measured"])}
    folder.write_json("metrics.json", metrics)


def _how(measured: dict[str, Any]) -> dict[str, Any]:
    """How the importance of columns was measured, without what is said elsewhere."""
    return {k: measured[k] for k in ("rows", "repeats", "resamples", "confidence")}
