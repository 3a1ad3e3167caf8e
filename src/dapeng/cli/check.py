"""Validate a spec, every problem at once; then look at the data, as training would split it, for what spoils models: leakage,
duplicates and near-duplicates across the split, likely wrong labels, outliers, missing cells, damaged text, rare labels, ...

  dapeng check reviews.yaml
  dapeng check reviews.yaml --fast
  dapeng check reviews.yaml --spec-only
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from itertools import groupby
from typing import TYPE_CHECKING

from dapeng.cli import arguments
from dapeng.cli.results import show
from dapeng.core.console import emit, say

if TYPE_CHECKING:
    from dapeng.checks.base import Finding

SEVERITIES = ("error", "warning", "info")
MOST = 11
"""Lines of one kind of finding, about."""


def add(parser: ArgumentParser) -> None:
    arguments.spec(parser)
    parser.add_argument("--spec-only", action="store_true", help="don't look at the data")
    parser.add_argument("--fast", action="store_true", help="don't train to find wrong labels")
    arguments.as_json(parser)


def run(args: Namespace) -> int:
    from dapeng import api
    from dapeng.api.checking import refuse_spec
    from dapeng.core.loader import load_spec

    loaded = load_spec(spec_file(args.spec), args.overrides)
    refuse_spec(loaded)
    say(f"{loaded.name}: the spec is valid")
    if args.spec_only:
        return 0
    notes: list[str] = []
    found = sorted(api.check(loaded, fast=args.fast, notes=notes), key=lambda f: SEVERITIES.index(f.severity))
    if args.json:
        show([vars(finding) for finding in found], True)
    else:
        for line in lines(found):
            emit(line)
    for note in notes:
        say(note)
    say(f"{len(found)} finding{'' if len(found) == 1 else 's'}" if found else "nothing found that spoils a model")
    return 2 if any(finding.severity == "error" for finding in found) else 0


def lines(found: list[Finding]) -> list[str]:
    """Findings by severity and kind, each with example rows; of one kind not many more than `MOST` lines."""
    kinds = list(dict.fromkeys((f.severity, f.kind) for f in found))
    ordered = sorted(found, key=lambda f: kinds.index((f.severity, f.kind)))
    out: list[str] = []
    for (severity, _), group in groupby(ordered, key=lambda f: (f.severity, f.kind)):
        some = list(group)
        shown = some if len(some) <= MOST // 2 else some[: MOST // 2 - 1]
        for finding in shown:
            out.append(f"{severity}: {finding.text}")
            out += _examples(finding, MOST - 1 if len(some) == 1 else 1)
            out += [f"  hint: {finding.hint}"] if finding.hint else []
        if len(some) > len(shown):
            rest = ", ".join(dict.fromkeys(c for f in some[len(shown) :] for c in f.columns))
            out.append(f"{severity}: and {len(some) - len(shown)} more like these ({rest}); --json has all of them")
    return out


def _examples(finding: Finding, most: int) -> list[str]:
    """Example rows as the file names them, one a line, or on one line where there is no room."""
    beside = finding.examples or ("",) * len(finding.where)
    each = [f"{where}: {example}" if example else where for where, example in zip(finding.where, beside)]
    if most < len(each):
        each = ["; ".join(each[:3])]
    return [f"    {one}" for one in each]


def spec_file(name: str) -> str:
    """The file of `recipe:NAME`, or the name itself."""
    if not name.startswith("recipe:"):
        return name
    from dapeng import api

    return str(api.recipe_file(name.removeprefix("recipe:")))
