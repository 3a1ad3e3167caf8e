"""Make a model smaller or faster, and measure what it costs: the frontier of size, speed and accuracy.

dapeng compress runs/reviews-0001
dapeng compress runs/reviews-0001 --method int8 --to runs/reviews-small
dapeng help compressors
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show


def add(parser: ArgumentParser) -> None:
    arguments.run(parser)
    parser.add_argument("--method", metavar="NAME", default="int8", help="`dapeng help compressors` lists them (int8)")
    parser.add_argument("--to", metavar="DIR", help="folder of the new run; beside the old one if not given")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng import api

    show(api.load(args.run).compress(args.method, args.to), args.json)
    return 0
