"""The list of runs: name, status, when, and the headline figure.

dapeng runs
dapeng runs --runs experiments --json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from dapeng.cli import arguments
from dapeng.core.console import emit, say, table

KILLED = "killed"
"""What is said of a run whose process ended before it could mark how; `dapeng train --resume` goes on with it."""


def add(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", metavar="DIR", default="runs", help="folder of run folders (runs)")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng.core.files import json_text
    from dapeng.core.run import runs_in

    found = [_row(folder) for folder in runs_in(args.runs)]
    if args.json:
        emit(json_text(found, indent=1))
    elif found:
        emit(table([list(row.values()) for row in found], list(found[0])))
    else:
        say(f"no runs in {args.runs}")
    return 0


def _row(folder: Any) -> dict[str, Any]:
    """One run; what can't be read is said in its status instead of ending the list."""
    from dapeng.core.errors import RunError

    try:
        about = folder.about()
        if about.get("status") == "running" and folder.ended():
            about["status"] = KILLED
    except RunError as error:
        about = {"status": f"damaged: {error.problems[0].what}"}
    return {
        "run": str(folder.path),
        "status": about.get("status"),
        "created": str(about.get("created", "")).replace("T", " ")[:16],
        "result": about.get("headline"),
    }
