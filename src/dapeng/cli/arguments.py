"""Arguments that several verbs share, so that they read the same everywhere."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

OVERRIDES = (
    "values that are laid over the spec before it is checked, such as train.epochs=3 or inputs.review.encoder=lstm"
)

SETTINGS: dict[str, tuple[type, str]] = {
    "max_tokens": (int, "most tokens to write (256)"),
    "temperature": (float, "0 takes the likeliest token always; 1 draws as the model believes (1)"),
    "top_k": (int, "draw among so many of the likeliest; 0: all (0)"),
    "top_p": (float, "draw among the likeliest that together have this probability (1)"),
    "min_p": (float, "draw among those with this share of the likeliest's probability (0)"),
    "repetition_penalty": (float, "above 1: tokens that are there already are less likely (1)"),
    "seed": (int, "of all draws (0; of drawn pictures that of the spec)"),
}


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


def writing(parser: ArgumentParser) -> None:
    """How texts are written."""
    for name, (kind, words) in SETTINGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="N", type=kind, help=words)
    parser.add_argument(
        "--stop", metavar="TEXT", action="append", help="end where this text would come; repeat it for several"
    )
    parser.add_argument("--regex", metavar="R", help="an expression of Python's re that the whole text matches")
    parser.add_argument("--schema", metavar="FILE", help="a JSON schema: the text is JSON that is valid by it")


def settings(args: Namespace) -> dict[str, Any]:
    """Those of `writing` that were given."""
    found = {n: getattr(args, n) for n in (*SETTINGS, "regex", "schema") if getattr(args, n) is not None}
    return {**found, "stop": tuple(args.stop)} if args.stop else found
