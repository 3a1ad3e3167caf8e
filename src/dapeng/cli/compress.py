"""Make a model smaller or faster, and measure what it costs: size, latency and every metric, before and after.

dapeng compress runs/reviews-0001
dapeng compress runs/reviews-0001 --to int8_dynamic --out runs/reviews-small
dapeng help compressors
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show


def add(parser: ArgumentParser) -> None:
    arguments.run(parser)
    parser.add_argument("--to", metavar="NAME", default="int8", help="`dapeng help compressors` lists them (int8)")
    parser.add_argument("--out", metavar="DIR", help="folder of the new run; beside the old one if not given")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng import api

    show(api.load(args.run).compress(args.to, args.out), args.json)
    return 0
