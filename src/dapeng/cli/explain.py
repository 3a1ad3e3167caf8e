"""What the model looked at: importance of columns, and for single rows the words, pixels or values that counted.

dapeng explain runs/reviews-0001
dapeng explain runs/reviews-0001 reviews.csv --rows 5
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show


def add(parser: ArgumentParser) -> None:
    arguments.run(parser)
    parser.add_argument("data", metavar="DATA", nargs="?", help="rows to explain; the run's own test rows if not given")
    parser.add_argument("--rows", metavar="N", type=int, default=8, help="how many rows to explain one by one (8)")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng import api

    show(api.load(args.run).explain(args.data, rows=args.rows), args.json)
    return 0
