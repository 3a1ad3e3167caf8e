"""A table of predictions with probabilities, one line a row of the data; pictures and sounds lie as files in a folder beside it (--to).
Of a language model the data holds texts to go on with, in a column of its output's name.

dapeng predict runs/reviews-0001 new.csv > predictions.csv
dapeng predict runs/reviews-0001 new.csv --to predictions.parquet
dapeng predict runs/de-en-0001 new.csv --temperature 0.7 --top-p 0.9
dapeng predict runs/story-0001 beginnings.csv --max-tokens 50
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dapeng.cli import arguments
from dapeng.core.console import say


def add(parser: ArgumentParser) -> None:
    arguments.run(parser)
    parser.add_argument("data", metavar="DATA", help="rows to predict; the columns that the run reads must be there")
    parser.add_argument(
        "--to", metavar="FILE", help="a .csv, .parquet or .jsonl file; standard output as CSV if not given"
    )
    parser.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="format on standard output (csv)")
    parser.add_argument("--beams", metavar="N", type=int, help="of written texts: how many are followed at once")
    parser.add_argument(
        "--steps", metavar="N", type=int, help="of drawn pictures: steps of the solver; those of the spec if not given"
    )
    parser.add_argument(
        "--guidance", metavar="N", type=float, help="of drawn pictures: how much what is asked for counts"
    )
    arguments.writing(parser)


def run(args: Namespace) -> int:
    from dapeng import api
    from dapeng.cli.results import write_table

    options = {n: getattr(args, n) for n in ("beams", "steps", "guidance") if getattr(args, n) is not None}
    predictions = api.load(args.run).predict(args.data, **options, **arguments.settings(args))
    write_table(predictions, args.to, args.format)
    if args.to:
        say(f"wrote {args.to}")
    return 0
