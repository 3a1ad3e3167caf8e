"""Columns that lie in a picture (boxes, masks): which input it is, and what both must know of each other.

Known before any data is read. A picture that something lies in keeps, beside its pixels, the affine that brought it to size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dapeng.core.errors import Problem
from dapeng.core.kinds import ColumnOptions


def pictures(inputs: Mapping[str, ColumnOptions], dimensions: int) -> list[str]:
    """Inputs that something of so many dimensions can lie in."""
    return [n for n, o in inputs.items() if o.holds and o.dimensions == dimensions]


def followed(options: ColumnOptions, inputs: Mapping[str, ColumnOptions]) -> str | None:
    """The picture that a column lies in: the one that it names, else the first; None of columns that lie in nothing."""
    if not options.lies_in_picture:
        return None
    named = getattr(options, "of", None)
    return named or next(iter(pictures(inputs, options.dimensions)), None)


def unplaced(output: str, options: ColumnOptions, inputs: Mapping[str, ColumnOptions]) -> Iterator[Problem]:
    """What is wrong with the picture of an output that lies in one."""
    known, named = pictures(inputs, options.dimensions), getattr(options, "of", None)
    place, add = (
        ("picture", "add an image to inputs") if options.dimensions == 2 else ("volume", "add a volume to inputs")
    )
    if named is not None and named not in known:
        what = f"{named!r} is no {place} that is read"
        yield Problem(f"outputs.{output}.of", what, f"one of {', '.join(known)}" if known else add)
    elif not known:
        yield Problem(
            f"outputs.{output}",
            f"a column of type {options.type} lies in a {place}, and none is read",
            add,
        )
    elif named is None and len(known) > 1:
        what = f"there are several {place}s: {', '.join(known)}"
        yield Problem(f"outputs.{output}.of", what, f"outputs.{output}.of={known[0]}")
    else:
        yield from _moved(named or known[0], inputs)


def unwindowed(outputs: Mapping[str, ColumnOptions], inputs: Mapping[str, ColumnOptions]) -> Iterator[Problem]:
    """Outputs that windows of a picture can't answer: only what is said pixel by pixel can be put together."""
    for picture in (n for n, o in inputs.items() if getattr(o, "window", None) is not None):
        for output in (n for n, o in outputs.items() if not o.by_pixel):
            what = f"{output} is not answered pixel by pixel, and answers for windows could not be put together"
            yield Problem(f"inputs.{picture}.window", what, f"inputs.{picture}.window=null")


def _moved(picture: str, inputs: Mapping[str, ColumnOptions]) -> Iterator[Problem]:
    """Random changes and views of the picture that what lies in it would not follow."""
    options = inputs[picture]
    asked = getattr(options, "augment", None)
    for one in asked if isinstance(asked, list) else []:
        if not type(one).carries:
            what = f"{one.type} moves the picture, and what lies in it would stay behind"
            yield Problem(f"inputs.{picture}.augment", what, "leave it out, or use flip, zoom, colour, mosaic")
    if getattr(options, "views", "one") != "one":
        what = "answers for several views are averaged, and those that lie in the picture can't be"
        yield Problem(f"inputs.{picture}.views", what, f"inputs.{picture}.views=one")
