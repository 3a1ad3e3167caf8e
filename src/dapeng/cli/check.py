"""Validate a spec, every problem at once; then look at the data for what spoils models: leakage between splits, duplicates,
constants, rare labels, unreadable files.

  dapeng check reviews.yaml
  dapeng check reviews.yaml --spec-only
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show
from dapeng.core.console import say


def add(parser: ArgumentParser) -> None:
    arguments.spec(parser)
    parser.add_argument("--spec-only", action="store_true", help="don't look at the data")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng.core.loader import load_spec

    loaded = load_spec(spec_file(args.spec), args.overrides)
    say(f"{loaded.name}: the spec is valid")
    if args.spec_only:
        return 0
    from dapeng.data.check import check

    show(check(loaded.spec, loaded.folder), args.json)
    return 0


def spec_file(name: str) -> str:
    """The file of `recipe:NAME`, or the name itself."""
    if not name.startswith("recipe:"):
        return name
    from dapeng import api

    return str(api.recipe_file(name.removeprefix("recipe:")))
