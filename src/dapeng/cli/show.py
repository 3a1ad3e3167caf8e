"""The full spec: every value, with where it came from; or one sample walked through the model; or the model as a graph.

dapeng show reviews.yaml
dapeng show reviews.yaml --graph
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.check import spec_file
from dapeng.core.console import emit


def add(parser: ArgumentParser) -> None:
    arguments.spec(parser)
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--graph", action="store_true", help="the model as a Mermaid graph")
    one.add_argument("--step", action="store_true", help="what one training step does, with the shape of each tensor")
    one.add_argument("--sample", action="store_true", help="one row of the data, walked through every step")


def run(args: Namespace) -> int:
    from dapeng.core.loader import load_spec

    loaded = load_spec(spec_file(args.spec), args.overrides)
    wanted = next((name for name in ("graph", "step", "sample") if getattr(args, name)), None)
    if wanted is None:
        from dapeng.cli.resolved import resolved

        emit(resolved(loaded))
        return 0
    from dapeng.api import show

    emit(getattr(show, wanted)(loaded.spec, loaded.folder))
    return 0
