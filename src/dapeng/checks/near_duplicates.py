"""Texts that are the same but for case, blanks and punctuation, on two sides of the split."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Check, Finding, Seen, first, quoted
from dapeng.core.kinds import checks

SHORTEST = 8
"""Letters and digits of a text that is worth comparing: "very good" says little; Han characters count twice."""


@checks
class NearDuplicates(Check):
    """Texts of one side whose letters and digits are those of a text of train."""

    type: Literal["near_duplicates"] = "near_duplicates"
    order: ClassVar[int] = 60

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(("text",), targets=False):
            if not column.plain or seen.sides is None:
                continue
            raw = [t or "" for t in column.texts()]
            group, code = _codes([bare(t) for t in raw])
            worth = np.array([_worth(k) for k in group], bool)[code] if len(code) else np.empty(0, bool)
            exact = _codes(raw)[1]
            code = np.where(worth, code, len(group) + np.arange(len(code)))  # each short one stands alone
            for what, rows, share in seen.across(code):
                other = [(r, p) for r in rows for p in [_partner(seen, int(r), code, exact)] if p is not None]
                if other:
                    count, share = len(other), share * len(other) / len(rows)
                    text = f"{column.name}: {count:,} {what} ({share:.1%}) differ from one in {seen.elsewhere} in case, blanks or punctuation alone"
                    shown = tuple(
                        f"{quoted(raw[r], 40)} as {seen.whole.where(int(seen.places[p]))} {quoted(raw[p], 40)}"
                        for r, p in other[:5]
                    )
                    yield Finding(
                        "near_duplicates", (column.name,), first(np.array([r for r, _ in other])), text, examples=shown
                    )


def bare(text: str) -> str:
    """The letters and digits of a text, in their compatible forms, small."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _worth(text: str) -> bool:
    return sum(1 if c.isascii() else 2 for c in text) >= SHORTEST


def _codes(texts: list[str]) -> tuple[list[str], np.ndarray]:
    at: dict[str, int] = {}
    found = np.array([at.setdefault(t, len(at)) for t in texts], np.int64)
    return list(at), found


def _partner(seen: Seen, row: int, code: np.ndarray, exact: np.ndarray) -> int | None:
    """A row of another side that is nearly the same; None where one is the very same, which duplicates say."""
    assert seen.sides is not None
    there = (code == code[row]) & (seen.sides >= 0)
    there &= (seen.sides != seen.sides[row]) if seen.folds else (seen.sides == 0)
    rows = np.flatnonzero(there)
    return None if not len(rows) or (exact[rows] == exact[row]).any() else int(rows[0])
