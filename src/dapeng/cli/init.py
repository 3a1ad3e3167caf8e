"""Look at the data, guess the type of each column, and print a spec with a comment on each guess.

dapeng init reviews.csv --target sentiment > reviews.yaml
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.core.console import emit


def add(parser: ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a file, a folder, a pattern in quotes, or sample:NAME")
    arguments.targets(parser)


def run(args: Namespace) -> int:
    from dapeng import api

    emit(api.init(args.data, args.target), end="")
    return 0
