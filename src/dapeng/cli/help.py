"""What a column type, an encoder, a loss ... is: its fields, an example, its paper.

dapeng help                  the kinds of things
dapeng help losses           the members of a kind
dapeng help resnet           one member
dapeng help train.epochs     a section or a key of the spec
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.core.console import emit


def add(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="a kind, a member of one, or a key of the spec")


def run(args: Namespace) -> int:
    from dapeng.cli import describe

    if not args.name:
        emit(describe.kinds_text())
        return 0
    texts = describe.find(args.name)
    if not texts:
        raise describe.not_found(args.name)
    emit("\n\n".join(texts))
    return 0
