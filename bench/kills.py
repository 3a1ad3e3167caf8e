"""Kill trainings with SIGKILL at random moments, go on with each, and compare the weights bit for bit.

    python bench/kills.py [--kills 200] [--seed 1]

After every kill each checkpoint in sight must verify by its SHA-256 sums, and the newest must be at least as new as the one
that metrics.jsonl acknowledges. A run that is finished in the end must have the weights.safetensors, and the log, of one that
nobody disturbed. Ends with status 1 at the first that does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "train"))

from tiny import kill_often  # type: ignore[import-not-found]

from dapeng.core.console import emit, say, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dapeng-kills-") as folder:
        try:
            counts = kill_often(Path(folder), args.kills, args.seed, say)
        except AssertionError as error:
            say(f"does not hold: {error}")
            raise SystemExit(1) from None
    rows = [
        ("kills", counts["kills"]),
        ("of these after a first checkpoint", counts["after a checkpoint"]),
        ("runs finished after kills, weights and log identical", counts["finished"]),
        ("acknowledged checkpoints lost", 0),
        ("minutes", round((time.monotonic() - began) / 60, 1)),
    ]
    emit(table(rows, ("", "")))


if __name__ == "__main__":
    main()
