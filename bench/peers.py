"""Dapeng beside its nearest peers, Ludwig and AutoGluon, in turns in one run: the same rows, one thread each, the same CPU budget.

    OMP_NUM_THREADS=1 DAPENG_SAMPLES=FOLDER python bench/peers.py --ludwig PYTHON --autogluon PYTHON \\
        [--dapeng PYTHON] [--tasks start diamonds digits reviews] [--turns 2] [--share 1] [--only WORD ...]

A side whose interpreter is not given is left out; Dapeng runs with the interpreter that runs this file, unless --dapeng names
another. CPU seconds are those of the whole process tree of the whole command: start, imports, reading, training, predictions.
A side is stopped at four times the budget. The limit is the budget in wall seconds, for sides that have such a setting; it is kept
where the side's own clock stays within it plus 5 %: Dapeng's from reading to the verdict, baselines included, AutoGluon's that of
fit(). `--share 0.1` is a trial on a tenth of the training rows.

The environments, each with `echo torch==2.13.0 > constraints.txt` first (Ludwig 0.17 needs Python 3.12, where
torch comes with 3.6 GB of CUDA's libraries):

    python3.12 -m venv ludwig;    ludwig/bin/python -m pip install -c constraints.txt ludwig==0.17.10
    python3.12 -m venv autogluon; autogluon/bin/python -m pip install -c constraints.txt 'autogluon.tabular[all]==1.6.3'
                                  autogluon/bin/python -m pip install -c constraints.txt autogluon.multimodal==1.6.3
    python3.11 -m venv dapeng;    dapeng/bin/python -m pip install -c constraints.txt .
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dapeng.core.console import emit, say, table

HERE = Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")
BUDGET = {"diamonds": 90, "digits": 25, "reviews": 90}
LABEL = {"diamonds": "cut", "digits": "label", "reviews": "label"}
INPUTS: dict[str, dict[str, str]] = {
    "diamonds": {
        **dict.fromkeys(("carat", "depth", "table", "x", "y", "z"), "number"),
        **dict.fromkeys(("color", "clarity"), "category"),
    },
    "digits": {"image": "image"},
    "reviews": {"text": "text"},
}
STOP_AT = 4
"""Times the budget."""

ENVIRONMENT = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), "1"),
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",  # there is no hub; without it the peers retry for minutes
}


# ---- the rows, once for all sides


def write_csv(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def parts_of(task: str, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train and test rows: as the sample has them; digits are split 80/20 by label with seed 0, and written as PNG files."""
    if task == "digits":
        from dapeng.samples.digits import Digits

        rows: list[dict[str, Any]] = Digits().load()["all"].table.to_pylist()
        for i, row in enumerate(rows):
            file = folder / f"{i:04}.png"
            file.write_bytes(row["image"])
            row.update(image=str(file), label=f"d{row['label']}")  # a word: no side may take it for a number
        test: set[int] = set()
        for label in sorted({row["label"] for row in rows}):
            of = [i for i, row in enumerate(rows) if row["label"] == label]
            test.update(random.Random(f"0{label}").sample(of, round(0.2 * len(of))))
        return [r for i, r in enumerate(rows) if i not in test], [rows[i] for i in sorted(test)]
    from dapeng.samples.diamonds import Diamonds
    from dapeng.samples.sentiment_zh import SentimentZh

    loaded: dict[str, Any] = (Diamonds() if task == "diamonds" else SentimentZh()).load()
    columns = [*INPUTS[task], LABEL[task]]
    train, test_rows = (loaded[p].table.select(columns).to_pylist() for p in ("train", "test"))
    return train, test_rows


def write_rows(task: str, folder: Path, share: float) -> list[str]:
    """train.csv, test.csv, and split.csv (all rows, one in ten of train to validate, for Ludwig); the labels of test."""
    folder.mkdir(parents=True)
    train, test = parts_of(task, folder)
    train = random.Random(0).sample(train, round(share * len(train))) if share < 1 else train
    draw = random.Random(1)
    split = [{**row, "split": int(draw.random() < 0.1)} for row in train] + [{**row, "split": 2} for row in test]
    for name, rows in {"train": train, "test": test, "split": split}.items():
        write_csv(folder / f"{name}.csv", rows)
    say(f"{task}: {len(train):,} rows train, {len(test):,} test")
    return [str(row[LABEL[task]]) for row in test]


# ---- the sides: each is a command and a way to read the labels that it predicted


@dataclass
class Side:
    """One way to run one program on one task."""

    name: str
    command: Callable[[str, Path, Path], list[str]]
    """(task, folder of the rows, empty folder for the outcome) -> what to run."""
    predictions: Callable[[str, Path], list[str]]
    seconds: Callable[[Path], float | None]
    """Wall seconds that the limit is about; None where there is no such setting."""
    tasks: tuple[str, ...] = ("diamonds", "digits", "reviews")


def dapeng(python: str, name: str, more: dict[str, Any] | None = None) -> Side:
    def command(task: str, rows: Path, out: Path) -> list[str]:
        spec = {
            "data": {"train": str(rows / "train.csv"), "test": str(rows / "test.csv")},
            "inputs": INPUTS[task],
            "outputs": {LABEL[task]: "category"},
            "train": {"time_limit": BUDGET[task], "threads": 1, **(more or {})},
        }
        (out / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
        return [python, "-m", "dapeng", "train", str(out / "spec.yaml"), "--runs", str(out)]

    def run(out: Path) -> Path:
        return next(out.glob("spec-*"))

    def predictions(task: str, out: Path) -> list[str]:
        import pyarrow.parquet

        found = pyarrow.parquet.read_table(run(out) / "predictions.parquet").to_pydict()
        best = np.array(found[f"{LABEL[task]}.probabilities"]).argmax(1)
        names = json.loads((run(out) / "metrics.json").read_text())["outputs"][LABEL[task]]["labels"]
        order = np.argsort(found["row"])
        return [names[k] for k in best[order]]

    def seconds(out: Path) -> float:
        return json.loads((run(out) / "metrics.json").read_text())["seconds"]["wall"]

    return Side(name, command, predictions, seconds)


def ludwig(python: str, name: str, layers: dict[str, dict[str, Any]]) -> Side:
    """`layers`: by task, what is laid over {input_features, output_features}; {} for the defaults."""

    def command(task: str, rows: Path, out: Path) -> list[str]:
        own = layers.get(task, {})
        config = {
            "input_features": [{"name": n, "type": t, **own.get(t, {})} for n, t in INPUTS[task].items()],
            "output_features": [{"name": LABEL[task], "type": "category"}],
            "preprocessing": {"split": {"type": "fixed", "column": "split"}},
            **{k: v for k, v in own.items() if k in ("trainer", "combiner")},
        }
        (out / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        files = ["--config", str(out / "config.yaml"), "--dataset", str(rows / "split.csv")]
        return [str(Path(python).parent / "ludwig"), "experiment", *files, "--output_directory", str(out), "-sspi"]

    def predictions(task: str, out: Path) -> list[str]:
        import pyarrow.parquet

        file = next(out.glob("*/predictions.parquet"))
        return [str(v) for v in pyarrow.parquet.read_table(file).to_pydict()[f"{LABEL[task]}_predictions"]]

    return Side(name, command, predictions, lambda out: None)


def autogluon(python: str, which: str, tasks: tuple[str, ...]) -> Side:
    def command(task: str, rows: Path, out: Path) -> list[str]:
        script = str(HERE / "peers" / "autogluon_side.py")
        files = [str(rows / "train.csv"), str(rows / "test.csv")]
        return [python, script, which, *files, LABEL[task], str(BUDGET[task]), str(out)]

    def predictions(task: str, out: Path) -> list[str]:
        return (out / "predictions.txt").read_text().splitlines()

    def seconds(out: Path) -> float:
        own = re.findall(r"total runtime = ([\d.]+)s", (out / "log.txt").read_text(errors="replace"))
        return float(own[-1] if own else (out / "fit.txt").read_text())

    return Side(f"AutoGluon, {which}", command, predictions, seconds, tasks)


AUTOGLUON = {
    "tables": ("diamonds", "digits", "reviews"),
    "multimodal": ("digits", "reviews"),
    "multimodal, no hub": ("digits", "reviews"),
    "tables of pixels": ("digits",),
    "tables of character pairs": ("reviews",),
}
# ---- measuring


@dataclass
class Run:
    """One command, to its end."""

    end: str
    """"done", "stopped", or the last line of the error."""
    cpu: float
    wall: float
    fit: float | None = None
    right: np.ndarray | None = None
    """For each test row, whether it was predicted."""


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process, of all below it, and of those that they have waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return 0
    return sum(int(f) for f in fields[11:15]) / TICK + sum(tree_cpu(int(c)) for c in children)


def measure(command: list[str], stop_at: float, log: Path) -> Run:
    """Run a command in a session of its own; the last lines of its output are its error where it fails."""
    began = time.monotonic()
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, env=ENVIRONMENT, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True, cwd=log.parent
        )
        seen, stopped = 0.0, False
        while True:
            # the process is waited for by wait4 alone, which also tells what it and its own children used
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            seen = max(seen, tree_cpu(process.pid))
            try:
                time.sleep(0.05 if time.monotonic() - began < 20 else 0.5)
            except BaseException:  # this bench is ended: nothing may go on behind its back
                os.killpg(process.pid, signal.SIGKILL)
                raise
            if not stopped and (seen > stop_at or time.monotonic() - began > 3 * stop_at):
                stopped = True
                os.killpg(process.pid, signal.SIGKILL)
    process.returncode = os.waitstatus_to_exitcode(status)
    end = "stopped" if stopped else "done" if process.returncode == 0 else last_error(log)
    return Run(end, max(seen, used.ru_utime + used.ru_stime), time.monotonic() - began)


def last_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (named or lines or ["no output"])[-1][:300]


def compared(found: list[str], truth: list[str]) -> np.ndarray:
    if len(found) != len(truth):
        raise SystemExit(f"{len(found)} predictions for {len(truth)} rows")
    return np.array([a == b for a, b in zip(found, truth)], float)


def train(side: Side, task: str, rows: Path, truth: list[str], out: Path) -> Run:
    out.mkdir(parents=True)
    run = measure(side.command(task, rows, out), STOP_AT * BUDGET[task], out / "log.txt")
    if run.end == "done":
        try:
            run.right, run.fit = compared(side.predictions(task, out), truth), side.seconds(out)
        except (OSError, StopIteration) as error:
            run.end = f"no predictions: {error!r}"
    return run


# ---- start and size


def start(pythons: dict[str, str], turns: int, folder: Path) -> list[tuple[Any, ...]]:
    commands: dict[tuple[str, str], list[str]] = {}
    imports = {
        "dapeng": ["import dapeng", "import dapeng.api.training"],
        "ludwig": ["import ludwig", "import ludwig.api"],
        "autogluon": [
            "import autogluon.tabular",
            "from autogluon.tabular import TabularPredictor",
            "from autogluon.multimodal import MultiModalPredictor",
        ],
    }
    for side, python in pythons.items():
        for line in ["import torch", *imports[side]]:
            commands[side, line] = [python, "-c", line]
    if "dapeng" in pythons:
        commands["dapeng", "train --help"] = [pythons["dapeng"], "-m", "dapeng", "train", "--help"]
    if "ludwig" in pythons:
        commands["ludwig", "train --help"] = [str(Path(pythons["ludwig"]).parent / "ludwig"), "train", "--help"]
    runs: dict[tuple[str, str], list[Run]] = {key: [] for key in commands}
    for _ in range(turns):
        for key, command in commands.items():
            runs[key].append(measure(command, 120, folder / "start.txt"))
    rows = []
    for (side, what), of in runs.items():
        cpu = [r.cpu for r in of]
        rows.append((side, what, f"{statistics.median(cpu):.2f}", f"{min(cpu):.2f}", f"{max(cpu):.2f}", of[-1].end))
    return rows


def size(pythons: dict[str, str]) -> list[tuple[Any, ...]]:
    rows = []
    for side, python in pythons.items():
        found = json.loads(
            subprocess.run(
                [python, str(HERE / "peers" / "size_side.py")], capture_output=True, text=True, check=True
            ).stdout
        )
        rest = found["gb"] - found["cuda"] - found["torch"]
        figures = (f"{found[k]:.2f}" for k in ("gb", "torch", "cuda"))
        rows.append(
            (side, *figures, f"{rest:.2f}", found["packages"], found["of_cuda"], f"torch {found['torch_version']}")
        )
    return rows


# ---- the command


def markdown(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c).replace("|", "\\|") for c in line) + " |" for line in lines)


def kept(run: Run, budget: float) -> str:
    if run.fit is None:
        return ""
    return f"{'yes' if run.fit <= 1.05 * budget else 'no'} ({run.fit:.0f} of {budget:g} s)"


def lead(ours: Run | None, run: Run) -> str:
    """Points by which Dapeng's accuracy of the same turn is higher, with its 95 % interval, paired by row."""
    if ours is None or ours is run or ours.right is None or run.right is None:
        return ""
    more = 100 * (ours.right - run.right)
    return f"{more.mean():+.1f} ± {1.96 * more.std() / len(more) ** 0.5:.1f}"


def row(task: str, side: Side, turn: int, run: Run, ours: Run | None) -> tuple[Any, ...]:
    return (
        task,
        side.name,
        turn,
        "" if run.right is None else f"{run.right.mean():.4f}",
        lead(ours, run),
        f"{run.cpu:.1f}",
        f"{run.wall:.0f}",
        kept(run, BUDGET[task]),
        run.end,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dapeng", default=sys.executable)
    parser.add_argument("--ludwig")
    parser.add_argument("--autogluon")
    parser.add_argument("--tasks", nargs="*", default=["start", *BUDGET])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", default=[""], help="words of the sides' names")
    parser.add_argument("--folder", type=Path, help="keep rows, models and logs here, in a folder that is made")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    pythons = {k: os.path.abspath(v) for k in ("dapeng", "ludwig", "autogluon") if (v := getattr(args, k))}
    sides = [dapeng(pythons["dapeng"], "Dapeng")]
    if args.ludwig:
        own_layers = yaml.safe_load((HERE / "peers" / "ludwig_layers.yaml").read_text())
        sides += [ludwig(pythons["ludwig"], "Ludwig, defaults", {})]
        sides += [ludwig(pythons["ludwig"], "Ludwig, own layers", own_layers)]
    if args.autogluon:
        sides += [autogluon(pythons["autogluon"], which, tasks) for which, tasks in AUTOGLUON.items()]
    sides = [s for s in sides if any(word.lower() in s.name.lower() for word in args.only)]
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = (args.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if "start" in args.tasks:
            head = ("side", "site-packages, GB", "torch", "CUDA", "the rest", "packages", "of CUDA", "")
            emit(markdown(head, size(pythons)) + "\n")
            head = ("side", "what", "CPU seconds, median", "least", "most", "end")
            emit(markdown(head, start(pythons, args.turns, folder)) + "\n")
        rows = compare([t for t in args.tasks if t in BUDGET], sides, args.turns, args.share, folder)
        head = ("task", "side", "turn", "accuracy", "Dapeng's lead, points", "CPU s", "wall s", "limit kept", "end")
        emit(markdown(head, rows))


def compare(tasks: list[str], sides: list[Side], turns: int, share: float, folder: Path) -> list[tuple[Any, ...]]:
    """All sides in turns, one task after the other; a side that failed or was stopped is not tried again."""
    rows = []
    for task in tasks:
        at = folder / f"rows-{task}"
        truth = write_rows(task, at, share)
        left = [s for s in sides if task in s.tasks]
        for turn in range(1, turns + 1):
            ours = None
            for side in list(left):
                word = re.sub(r"\W+", "-", side.name.lower())
                run = train(side, task, at, truth, folder / f"{task}-{word}-{turn}")
                ours = run if side.name == "Dapeng" else ours
                rows.append(row(task, side, turn, run, ours))
                say(table(rows[-1:]))
                if run.end != "done":
                    left.remove(side)
    return rows


if __name__ == "__main__":
    main()
