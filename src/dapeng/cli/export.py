"""Write a run in another format, and check that it predicts the same.

dapeng export runs/reviews-0001 --format onnx
dapeng help exporters
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show


def add(parser: ArgumentParser) -> None:
    arguments.run(parser)
    parser.add_argument("--format", metavar="NAME", default="onnx", help="`dapeng help exporters` lists them (onnx)")
    parser.add_argument("--to", metavar="PATH", help="file or folder to write; inside the run folder if not given")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng import api

    show(api.load(args.run).export(args.format, args.to), args.json)
    return 0
