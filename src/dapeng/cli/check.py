"""Validate a spec, every problem at once; then look at the data for what spoils models: leakage between splits, duplicates,
constants, rare labels, unreadable files.

  dapeng check reviews.yaml
  dapeng check reviews.yaml --spec-only
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.cli.results import show
from dapeng.core.console import emit, say

SEVERITIES = ("error", "warning", "info")


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
    from dapeng.data.open import open_data

    found = check(open_data(loaded.spec.data, loaded.folder), loaded.spec)
    if args.json:
        show([vars(finding) for finding in found], True)
    else:
        for finding in sorted(found, key=lambda f: SEVERITIES.index(f.severity)):
            emit(f"{finding.severity}: {finding.text}")
        say(f"{len(found)} finding{'' if len(found) == 1 else 's'}" if found else "nothing found that spoils a model")
    return 2 if any(finding.severity == "error" for finding in found) else 0


def spec_file(name: str) -> str:
    """The file of `recipe:NAME`, or the name itself."""
    if not name.startswith("recipe:"):
        return name
    from dapeng import api

    return str(api.recipe_file(name.removeprefix("recipe:")))
