"""Arguments that several verbs share, so that they read the same everywhere."""

from __future__ import annotations

from argparse import ArgumentParser

OVERRIDES = (
    "values that are laid over the spec before it is checked, such as train.epochs=3 or inputs.review.encoder=lstm"
)


def spec(parser: ArgumentParser, or_data: bool = False) -> None:
    """A spec (or data) and overrides."""
    what = "a spec (.yaml), or recipe:NAME" + ("; or a data file, with --target" if or_data else "")
    parser.add_argument("spec", metavar="SPEC_OR_DATA" if or_data else "SPEC", help=what)
    overrides(parser)


def overrides(parser: ArgumentParser) -> None:
    parser.add_argument("overrides", metavar="key.path=value", nargs="*", help=OVERRIDES)


def run(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, such as runs/reviews-0001")


def as_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on standard output, for programs")


def targets(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        action="append",
        help="a column to predict, where a data file is given; repeat it for several",
    )
