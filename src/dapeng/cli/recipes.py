"""Specs that ship with dapeng, each on real data.

dapeng recipes
dapeng recipes copy digits
dapeng train recipe:digits
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show
from dapeng.core.console import say


def add(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=("list", "copy"), default="list", help="list them all, or copy one here"
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the recipe to copy")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng import api
    from dapeng.core.errors import SpecError

    if args.action == "list":
        show(api.recipes(), args.json)
        return 0
    if not args.name:
        raise SpecError("which recipe?", hint="dapeng recipes copy NAME; `dapeng recipes` lists them")
    say(f"wrote {api.copy_recipe(args.name)}")
    return 0
