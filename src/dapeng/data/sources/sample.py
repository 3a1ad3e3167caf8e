"""Real data by name: `sample:digits`."""

from __future__ import annotations

import copy
import os
import weakref
from difflib import get_close_matches
from typing import Literal

from dapeng.core.errors import DataError, Problem
from dapeng.core.kinds import samples, sources
from dapeng.core.spec import Data
from dapeng.data.sources.base import Reader
from dapeng.data.table import Concat, Source

PREFIX = "sample:"
_opened: dict[str, tuple[tuple[str | None, ...], dict[str, weakref.ref[Source]]]] = {}
"""What was opened of a sample, from where, as long as somebody holds it: a run opens its data again to explain and to report."""


@sources
class SampleSourceOptions(Reader):
    """One of the real data sets that Dapeng knows how to get: sample:NAME."""

    type: Literal["sample"] = "sample"

    @classmethod
    def matches(cls, address: object) -> bool:
        return isinstance(address, str) and address.startswith(PREFIX)

    def open(self, address: object, data: Data) -> Source:
        parts = self.parts(address, data)
        return next(iter(parts.values())) if len(parts) == 1 else Concat(list(parts.values()), str(address))

    def parts(self, address: object, data: Data) -> dict[str, Source]:
        # Samples lie above data in the order of imports; the registry is the way up.
        name, known = str(address).removeprefix(PREFIX), samples.members()
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {PREFIX}{close[0]}?" if close else f"one of {', '.join(known)}"
            raise DataError(Problem(str(address), "no such sample", hint))
        places = tuple(os.environ.get(n) for n in ("DAPENG_SAMPLES", "DAPENG_CACHE"))
        before, kept = _opened.get(name, (None, {}))
        parts = {part: source for part, reference in kept.items() if (source := reference()) is not None}
        if not parts or before != places or len(parts) < len(kept):
            parts = known[name]().load()
            _opened[name] = places, {part: weakref.ref(source) for part, source in parts.items()}
        return {part: _anew(source) for part, source in parts.items()}


def _anew(source: Source) -> Source:
    """The same rows, with notes of their own: a run adds to them. It holds the source that it was made of."""
    again = copy.copy(source)
    again.notes = list(source.notes)
    again.made_of = source
    return again
