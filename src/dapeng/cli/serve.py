"""Serve runs over HTTP: POST /predict, Open Inference Protocol v2, and a page to try them.

dapeng serve runs/reviews-0001
dapeng serve runs/reviews-0001 runs/digits-0003 --port 9000 --workers 4
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any


def add(parser: ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, such as runs/reviews-0001")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others than this machine's need 0.0.0.0 (127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes any free one (8000)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes, each with one thread (1)")
    parser.add_argument("--max-batch", type=int, metavar="ROWS", help="most rows of one batch (256)")
    parser.add_argument("--max-body", type=int, metavar="BYTES", help="largest request (16777216)")
    parser.add_argument(
        "--no-batching", action="store_true", help="answer every request by itself, bit for bit the same"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which clients may ask; repeat it for several",
    )


def run(args: Namespace) -> int:
    options: dict[str, Any] = {"host": args.host, "port": args.port}
    more = {"workers": args.workers, "max_batch": args.max_batch, "max_body": args.max_body}
    options |= {k: v for k, v in more.items() if v is not None}
    if args.no_batching:
        options["batching"] = False
    if args.allow_host:
        options["allowed_hosts"] = tuple(args.allow_host)
    if len(args.runs) == 1:
        from dapeng import api

        api.load(args.runs[0]).serve(**options)
        return 0
    from dapeng.core.run import RunFolder
    from dapeng.serve.serve import serve

    serve([RunFolder.open(path) for path in args.runs], **options)
    return 0
