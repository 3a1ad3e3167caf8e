"""Train, evaluate and write the report, from a spec or straight from a data file.

  dapeng train reviews.yaml
  dapeng train reviews.yaml train.epochs=3 inputs.review.encoder=lstm
  dapeng train reviews.csv --target sentiment
  dapeng train --resume runs/reviews-0001

The path of the run folder goes to standard output, everything else to standard error.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.core.console import emit


def add(parser: ArgumentParser) -> None:
    parser.add_argument(
        "spec", metavar="SPEC_OR_DATA", nargs="?", help="a spec (.yaml), recipe:NAME, or a data file with --target"
    )
    arguments.overrides(parser)
    arguments.targets(parser)
    parser.add_argument(
        "--resume", metavar="RUN", help="go on with a run that was stopped, bit for bit on the same machine"
    )
    parser.add_argument("--runs", metavar="DIR", default="runs", help="folder for the run folder (runs)")
    parser.add_argument("--name", metavar="NAME", help="name of the run; the file's name if not given")


def run(args: Namespace) -> int:
    from dapeng.core.errors import SpecError

    if not args.spec and not args.resume:
        raise SpecError("nothing to train", hint="dapeng train SPEC, or dapeng train DATA --target COLUMN")
    if args.spec and "=" in args.spec and args.resume:  # with --resume the first word is an override already
        args.overrides.insert(0, args.spec)
        args.spec = None
    overrides = [*args.overrides, *([f"name={_quoted(args.name)}"] if args.name else [])]
    from dapeng import api

    done = api.train(args.spec, overrides=overrides, target=args.target, resume=args.resume, runs=args.runs)
    emit(str(done.path))
    return 0


def _quoted(name: str) -> str:
    """The name as a YAML text: 007 and no are names too."""
    return "'" + name.replace("'", "''") + "'"
