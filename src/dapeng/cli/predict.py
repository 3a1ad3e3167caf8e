"""A table of predictions with probabilities, one line a row of the data; pictures lie as PNG files in a folder beside it.

dapeng predict runs/reviews-0001 new.csv > predictions.csv
dapeng predict runs/reviews-0001 new.csv --to predictions.parquet
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
    parser.add_argument("--seed", type=int, help="of what is drawn from noise; that of the run's spec if not given")


def run(args: Namespace) -> int:
    from dapeng import api
    from dapeng.cli.results import write_table

    predictions = api.load(args.run).predict(args.data, **({} if args.seed is None else {"seed": args.seed}))
    write_table(predictions, args.to, args.format)
    if args.to:
        say(f"wrote {args.to}")
    return 0
