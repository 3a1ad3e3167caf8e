"""Metrics with confidence intervals, beside classical baselines on the same rows.

dapeng evaluate runs/reviews-0001
dapeng evaluate runs/reviews-0001 new_reviews.csv --json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show


def add(parser: ArgumentParser) -> None:
    arguments.run(parser)
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help="rows with the true answers; the run's own test rows if not given"
    )
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng import api

    show(api.load(args.run).evaluate(args.data), args.json)
    return 0
