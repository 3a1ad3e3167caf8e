"""Compare two runs on the same test rows, paired row by row: is the difference more than chance?

dapeng compare runs/reviews-0001 runs/reviews-0002
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show


def add(parser: ArgumentParser) -> None:
    parser.add_argument("first", metavar="RUN", help="a run folder")
    parser.add_argument("second", metavar="OTHER", help="another one, trained on the same split")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng import api

    show(api.compare(args.first, args.second), args.json)
    return 0
