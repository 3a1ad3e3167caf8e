"""What memory a network costs over a table that grows: peak of a whole `dapeng train`, by size of the CSV.

    python bench/memory.py [--sizes 0.2 0.8] [--cap 50] [--folder /tmp] [--steps 300] [--model auto]

Sizes are in GB. Each size is trained in a process of its own, with model=network, a few hundred steps, no learners, and then
once more, when its prepared rows are found again. A thread of that process reads /proc/self every 50 ms: the peak of resident
memory that is not mapped from files (RssAnon), which is what training takes; and VmHWM, which counts pages of memory-mapped
files too, though the system takes those back whenever it wants. With --cap the limit below which data stays in memory (1 GB)
is lowered, so that small sizes show how large ones behave. Linux alone. CSVs are removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dapeng.core.console import emit, say, table

COLUMNS = 10


def write_csv(path: Path, gigabytes: float) -> int:
    """Ten numbers, a category of 50 labels and a target; returns the rows."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(20_000, COLUMNS))
    labels = draw.integers(0, 50, len(x))
    lines = [
        ",".join(f"{v:.6f}" for v in row) + f",label{c},{'yes' if row[0] + row[1] > 0 else 'no'}"
        for row, c in zip(x, labels)
    ]
    block = ("\n".join(lines) + "\n").encode()
    rows, wanted = 0, int(gigabytes * 1e9)
    with open(path, "wb") as stream:
        stream.write((",".join(f"n{i}" for i in range(COLUMNS)) + ",c,y\n").encode())
        while stream.tell() < wanted:
            stream.write(block)
            rows += len(lines)
    return rows


CHILD = r"""
import json, re, sys, threading, time
peak = {"anon": 0, "after": 0}
def status(name):
    return int(re.findall(name + r":\s+(\d+)", open("/proc/self/status").read())[0])
def watch():
    while True:
        peak["anon"] = max(peak["anon"], status("RssAnon"))
        time.sleep(0.05)
threading.Thread(target=watch, daemon=True).start()
from dapeng.cli.main import main
import time as t
import os
cap = int(os.environ.get("CAP", "0"))
if cap:
    from dapeng.data import held, prepare
    held.hold.__defaults__ = (cap,)
    prepare.Prepared.store.__defaults__ = (None, cap)
began = t.process_time()
rc = main(sys.argv[1:])
print(json.dumps({"rc": rc, "anon": peak["anon"] / 1024, "hwm": status("VmHWM") / 1024, "cpu": t.process_time() - began}))
"""


def measure(csv: Path, steps: int, folder: Path, cap: int, model: str) -> dict[str, Any]:
    inputs = {f"n{i}": "number" for i in range(COLUMNS)} | {"c": "category"}
    spec = {
        "data": {"path": str(csv)},
        "inputs": inputs,
        "outputs": {"y": "category"},
        "model": model,
        "train": {"steps": steps, "batch_size": 512, "threads": 1},
    }
    if model == "network":
        spec["evaluate"] = {"baselines": [], "resamples": 0}
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    env = {**os.environ, "DAPENG_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "CAP": str(cap)}
    words = [sys.executable, "-c", CHILD, "train", str(path), "--runs", str(folder / "runs")]
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    last = (done.stdout.strip().splitlines() or ["{}"])[-1]
    if done.returncode or not re.match(r"\{.*rc", last) or json.loads(last)["rc"]:
        say(done.stderr[-2000:])
        raise SystemExit("the training failed")
    return json.loads(last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1.0], help="GB of the CSV")
    parser.add_argument("--folder", default=None, help="where the CSV and the prepared data go")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument(
        "--cap", type=float, default=0, help="MB that may lie in memory before the disk is used (1,074)"
    )
    parser.add_argument("--model", default="network", help="network alone, or auto: with all learners and intervals")
    args = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="dapeng-memory-", dir=args.folder) as name:
        folder = Path(name)
        for size in args.sizes:
            csv = folder / "big.csv"
            rows = write_csv(csv, size)
            began = time.monotonic()
            one = measure(csv, args.steps, folder, int(args.cap * 1e6), args.model)
            wall = time.monotonic() - began
            again = measure(csv, args.steps, folder, int(args.cap * 1e6), args.model)
            csv.unlink()
            shutil.rmtree(folder / "cache")
            shown = (f"{one['anon']:,.0f}", f"{one['hwm']:,.0f}", f"{one['cpu']:.0f}", f"{wall:.0f}")
            found.append((size, f"{rows:,}", *shown, f"{again['anon']:,.0f}", f"{again['cpu']:.0f}"))
            say("  ".join(map(str, found[-1])))
    head = ("CSV, GB", "rows", "peak without mapped files, MB", "VmHWM, MB", "CPU seconds", "wall seconds")
    emit(table(found, (*head, "peak of a second training, MB", "its CPU seconds")))


if __name__ == "__main__":
    main()
