"""Pictures and texts: the product and its network beside the classical learners, on the same rows, with mean ranks.

python bench/boards.py images
python bench/boards.py text --only sst2 r8

Each set is trained in a process of its own, on one thread, with every baseline that fits; the figures are those of its verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FEW = "data.max_rows=6000"
SETS: dict[str, dict[str, list[str]]] = {
    "images": {
        "digits": ["sample:digits", "--target", "label"],
        "mnist, 6,000": ["sample:mnist", "--target", "label", FEW],
        "cifar10, 6,000": ["sample:cifar10", "--target", "label", FEW],
    },
    "text": {
        "sst2": ["sample:sst2", "--target", "label"],
        "sentiment_zh": ["sample:sentiment_zh", "--target", "label"],
        "r8": ["sample:r8", "--target", "topic"],
        "newsgroups": ["sample:newsgroups", "--target", "topic"],
    },
}


def board(words: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Accuracy and CPU seconds of every row of the leaderboard."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dapeng", "train", *words, "train.threads=1", "--runs", folder]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{words[0]}: {done.stderr[-400:]}")
        found: dict[str, Any] = json.loads((Path(done.stdout.strip()) / "metrics.json").read_text(encoding="utf-8"))
    (output,) = found["outputs"].values()
    rows = {r["name"]: r for r in output["leaderboard"]}
    spent = {n: float(r["cpu_seconds"]) for n, r in rows.items()}
    spent["product"] = float(found["seconds"]["cpu"])
    return {n: r["metrics"]["accuracy"]["value"] for n, r in rows.items()}, spent


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("kind", choices=list(SETS))
    asked.add_argument("--only", nargs="*")
    options = asked.parse_args()
    sets = {n: w for n, w in SETS[options.kind].items() if not options.only or n.split(",")[0] in options.only}
    boards = {name: board(words) for name, words in sets.items()}
    names = list(dict.fromkeys(n for found, _ in boards.values() for n in found))
    print("| set | " + " | ".join(names) + " |\n|" + "---|" * (1 + len(names)))
    ranks: dict[str, list[int]] = {n: [] for n in names}
    for name, (found, spent) in boards.items():
        for n, value in found.items():
            ranks[n].append(1 + sum(other > value for other in found.values()))
        cells = [f"{found[n]:.4f} ({spent[n]:.0f})" if n in found else "" for n in names]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("| **mean rank** | " + " | ".join(f"{np.mean(ranks[n]):.2f}" for n in names) + " |")


if __name__ == "__main__":
    main()
