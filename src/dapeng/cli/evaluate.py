"""Metrics with confidence intervals, beside classical baselines on the same rows.

dapeng evaluate runs/reviews-0001
dapeng evaluate runs/reviews-0001 new_reviews.csv --json
dapeng evaluate runs/story-0001 --questions sums.jsonl --shots 3
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show
from dapeng.core.errors import RunError
from dapeng.core.run import RunFolder


def add(parser: ArgumentParser) -> None:
    arguments.run(parser)
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help="rows with the true answers; the run's own test rows if not given"
    )
    parser.add_argument(
        "--questions", metavar="FILE", help="a JSONL file of questions for a language model, instead of DATA"
    )
    parser.add_argument("--shots", metavar="N", type=int, default=0, help="examples before each question (0)")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng import api

    run = api.load(args.run)
    if args.questions is not None:
        show(run.ask(args.questions, args.shots), args.json)
        return 0
    if args.data is None:
        _refuse_without_figures(run.folder, args.run)
    show(run.evaluate(args.data), args.json)
    return 0


def _refuse_without_figures(folder: RunFolder, name: str) -> None:
    """Raise RunError for a run that was changed, or that has no figures of its own test rows."""
    folder.verify()  # with data, loading the product does this
    if folder.has("metrics.json"):
        return
    if folder.has("compress.json"):
        what = f"{name} is compressed: its compress.json has its figures beside the original's, it has no metrics.json"
        raise RunError(what, hint=f"dapeng evaluate {name} DATA")
    raise RunError(f"{name} has no metrics.json: it was not trained to its end", hint=f"dapeng train --resume {name}")
