"""A tiny table, its spec, and `dapeng` in a process that has everything imported already, so that it can be killed often."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dapeng.api.tested import Tested
from dapeng.core import manifest
from dapeng.core.checkpoints import Checkpoints
from dapeng.core.files import read_json, read_lines
from dapeng.core.run import FOLDS, RunFolder

SPEC = """
data: {path: t.csv, split: {by: random}}
inputs: {p: number, q: number, r: number, c: category}
outputs: {y: category}
model: network
train: {batch_size: 32, threads: 1, checkpoint_every: 5}
evaluate: {baselines: [], resamples: 0}
"""
FOLDED = SPEC.replace("by: random", "by: cross_validation, folds: 3")


def write_table(folder: Path, rows: int = 400, seed: int = 0, spec: str = SPEC) -> Path:
    """t.csv and s.yaml; the path of the spec."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 3))
    y = np.where(x[:, 0] + x[:, 1] / 2 + 0.3 * draw.normal(size=rows) > 0, "a", "b")
    lines = [f"{a:.4f},{b:.4f},{c:.4f},{'uvw'[i % 3]},{y[i]}" for i, (a, b, c) in enumerate(x)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t.csv").write_text("p,q,r,c,y\n" + "\n".join(lines) + "\n")
    (folder / "s.yaml").write_text(spec)
    return folder / "s.yaml"


def _main(words: list[str], output: str, dies_at: int | None = None) -> None:
    with open(output, "a", buffering=1) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    os.environ["OMP_NUM_THREADS"] = "1"
    if dies_at is not None:
        _die_at(dies_at, Path(output).with_suffix(".moments"))
    from dapeng.cli.main import main

    sys.exit(main(words))


def _die_at(moment: int, told: Path) -> None:
    """End as if killed, before the n-th time that a file takes its name or one is removed; tell how often that was."""
    count = 0

    def before(name: str) -> None:
        real = getattr(os, name)

        def called(*args: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            told.write_text(str(count))
            if count == moment:
                os._exit(9)
            return real(*args, **more)

        setattr(os, name, called)

    for name in ("replace", "unlink", "rmdir"):
        before(name)


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    here = str(Path(__file__).parent)  # the server finds what it loads by this alone
    if here not in os.environ.get("PYTHONPATH", ""):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    context.set_forkserver_preload(["warm"])
    return context


def start(words: list[str], output: Path) -> Any:
    """`dapeng WORDS` in a process of its own; what it says goes to a file."""
    process = _context().Process(target=_main, args=(words, str(output)))
    process.start()
    return process


def die(words: list[str], output: Path, moment: int) -> int:
    """`dapeng WORDS` that dies before its n-th change of a name; the number of those that came about."""
    process = _context().Process(target=_main, args=(words, str(output), moment))
    process.start()
    process.join()
    return int(output.with_suffix(".moments").read_text())


def finish(words: list[str], output: Path) -> int:
    process = start(words, output)
    process.join()
    return process.exitcode


def checkpoints_are_whole(run: Path) -> str | None:
    """Verify every checkpoint in sight, and that the newest is at least as new as the one that the log acknowledges."""
    if (run / FOLDS).is_dir():
        for ended in (run / FOLDS).glob("*.safetensors"):
            assert len(Tested.load(ended).rows), f"{ended.name} holds nothing"
        kept = [checkpoints_are_whole_in(run, f, int(f.name)) for f in (run / FOLDS).iterdir() if f.is_dir()]
        return next((k for k in kept if k), None)
    return checkpoints_are_whole_in(run, run, None)


def checkpoints_are_whole_in(run: Path, place: Path, fold: int | None) -> str | None:
    folder = Checkpoints(place)
    for step in folder.steps():
        manifest.verify(folder.folder / f"{step:08d}", {"step": step})
    lines = [e for e in read_lines(run / "metrics.jsonl") if e.get("fold") == fold]
    said = [e["checkpoint"] for e in lines if "checkpoint" in e]
    latest = folder.latest()
    if said:
        assert latest is not None, f"{said[-1]} was acknowledged, and nothing can be loaded"
        assert latest.name >= said[-1], f"{said[-1]} was acknowledged, the newest is {latest.name}"
    return latest.name if latest else None


def validations(run: Path) -> list[dict[str, Any]]:
    """What the log told of training, without the clock."""
    return [{k: v for k, v in e.items() if k != "time"} for e in read_lines(run / "metrics.jsonl") if "train_loss" in e]


def done(run: Path) -> bool:
    return read_json(run / "run.json").get("status") == "done"


def kill_often(
    folder: Path, kills: int, seed: int = 0, say: Any = lambda text: None, spec_text: str = SPEC
) -> dict[str, int]:
    """Kill trainings at random moments, go on with each, and compare what came out with an undisturbed run.

    Returns counts: kills, kills after a checkpoint, runs that were finished and compared. Raises AssertionError.
    """
    draw = random.Random(seed)
    spec = str(write_table(folder, spec=spec_text))
    output = folder / "output.txt"
    whole = ["train", spec, "--runs", str(folder / "whole")]
    assert finish(whole, output) == 0, output.read_text()
    reference = next((folder / "whole").iterdir())
    began = time.monotonic()
    assert finish(whole, output) == 0, output.read_text()
    length = time.monotonic() - began
    weights = (reference / "weights.safetensors").read_bytes()
    counts = {"kills": 0, "after a checkpoint": 0, "finished": 0}
    run: Path | None = None

    def compare(path: Path, killed: bool = False) -> None:
        RunFolder.open(path).verify()
        assert (path / "weights.safetensors").read_bytes() == weights, "the weights differ"
        assert validations(path) == validations(reference), "the log differs"
        for name in ("predictions.parquet", "columns.json"):
            assert (path / name).read_bytes() == (reference / name).read_bytes(), f"{name} differs"
        assert killed or not (path / FOLDS).exists()
        counts["finished"] += 1

    def words(known: Path | None) -> list[str]:
        return ["train", "--resume", str(known)] if known else ["train", spec, "--runs", str(folder / "runs")]

    while counts["kills"] < kills:
        process = start(words(run), output)
        process.join(draw.uniform(0.05, 0.9) * length)
        killed = process.exitcode is None
        process.kill()
        process.join()
        counts["kills"] += killed
        runs = sorted((folder / "runs").glob("*")) if (folder / "runs").exists() else []
        run = next((r for r in runs if (r / "spec.yaml").is_file() and not done(r)), None)
        for left_over in (r for r in runs if not (r / "spec.yaml").is_file()):  # killed before it began
            with contextlib.suppress(OSError):
                (left_over / "run.json").unlink(missing_ok=True)
                left_over.rmdir()
        for path in (r for r in runs if (r / "spec.yaml").is_file()):
            if done(path):
                assert killed or process.exitcode == 0, output.read_text()[-3000:]
                if not killed or (path / "report.html").exists():
                    compare(path, killed)
                path.rename(folder / f"done-{time.monotonic_ns()}-{path.name}")
            else:
                assert killed, output.read_text()[-3000:]
                counts["after a checkpoint"] += checkpoints_are_whole(path) is not None
        say(f"{counts['kills']} of {kills}: {counts}")
    assert finish(words(run), output) == 0, output.read_text()[-3000:]
    compare(max((folder / "runs").iterdir()))
    return counts
