"""Which random changes a column's rows get in training, as one function Batch -> Batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dapeng.columns.base import Column
from dapeng.core.kinds import transforms
from dapeng.data.batch import Batch


def steps_of(column: Column, outputs: Mapping[str, Column] | None = None) -> list[Any]:
    """The transforms of a column, built; a level stands for a list of them. outputs: whose answers may be mixed."""
    asked = getattr(column.options, "augment", "none")
    encoder = getattr(column.options, "encoder", None)
    if asked == "auto" and encoder is not None and encoder.stays:
        return []  # features of frozen networks are worked out once, for the cells as they are
    if asked == "auto" and any(goes_along(o, column) for o in (outputs or {}).values()):
        return []
    if asked == "auto":
        asked = column.usual_augment  # type: ignore[attr-defined]
    if asked == "none":
        return []
    if isinstance(asked, str):
        members = transforms.members()
        asked = [members[o["type"]](**o) for o in column.options.levels[asked]]  # type: ignore[attr-defined]
    return [o.with_outputs(o.build(column), outputs or {}) for o in asked]


def goes_along(output: Column, column: Column) -> bool:
    """Whether an output's answer is of this input as it is."""
    decoder = getattr(output.options, "decoder", None)
    return decoder is not None and decoder.goes_along(column)


def transforms_for(
    inputs: Mapping[str, Column], outputs: Mapping[str, Column], seed: int
) -> Callable[[Batch, int], Batch] | None:
    """(batch, epoch) -> batch; every draw is a function of (seed, epoch, row). None where nothing changes."""
    steps = [(n, s) for n, column in inputs.items() for s in steps_of(column, outputs)]
    if not steps:
        return None

    def apply(batch: Batch, epoch: int) -> Batch:
        for number, (name, step) in enumerate(steps):
            batch = step(batch, name, (seed, epoch, number))
        return batch

    return apply
