"""Serve runs over HTTP: Open Inference Protocol v2, and a page to try them.

dapeng serve runs/reviews-0001
dapeng serve runs/reviews-0001 --port 9000
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments


def add(parser: ArgumentParser) -> None:
    arguments.run(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others than this machine's need 0.0.0.0 (127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")


def run(args: Namespace) -> int:
    from dapeng import api

    api.load(args.run).serve(host=args.host, port=args.port)
    return 0
