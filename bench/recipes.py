"""Runs recipes at their full settings, one after the other, one thread each, and prints what they reach as a Markdown table.

python bench/recipes.py digits income sentiment-zh      # some of them; all without arguments

The peers' figures on the same rows (TARGETS) are printed beside ours where there are any.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = {
    "digits": "Ludwig 0.982 in 30 CPU-s with layers of its user's own; AutoGluon 0.100 without a hub",
    "diamonds": "Ludwig 0.601 in 76 CPU-s; AutoGluon 0.768 in 94 CPU-s (cut alone)",
    "sentiment-zh": "Ludwig 0.776 in 54 CPU-s; AutoGluon trains no model",
}


def run(name: str, folder: Path) -> dict[str, object]:
    """metrics.json of one recipe, trained in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dapeng", "train", f"recipe:{name}", "train.threads=1", "--runs", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-400:]}")
    return json.loads((Path(done.stdout.strip()) / "metrics.json").read_text(encoding="utf-8"))


def main(names: list[str]) -> None:
    from dapeng import api

    names = names or [r["recipe"] for r in api.recipes() if r["recipe"] != "by-hand"]
    print("| recipe | output | reached | 95 % from | to | CPU seconds | network | best baseline | peers |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            found: dict = run(name, Path(folder))
            for output, of in found["outputs"].items():
                figure = of["metrics"][of["headline"]]
                board = {r["name"]: r["metrics"][of["headline"]]["value"] for r in of["leaderboard"]}
                rivals = {
                    r["name"]: board[r["name"]] for r in of["leaderboard"] if r["role"] in ("learner", "baseline")
                }
                lower = of["headline"] == "rmse"
                best = min(rivals, key=lambda n: rivals[n] if lower else -rivals[n]) if rivals else ""
                network = f"{board['network']:.4g}" if "network" in board else ""
                cells = [name, f"{output} ({of['headline']})", *(f"{figure[k]:.4g}" for k in ("value", "low", "high"))]
                cells += [
                    f"{found['seconds']['cpu']:.0f}",
                    network,
                    f"{best} {rivals[best]:.4g}" if best else "",
                    PEERS.get(name, ""),
                ]
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
