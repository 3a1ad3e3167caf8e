"""Texts that are the same but for case, blanks and punctuation, on two sides of the split."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from dapeng.checks.base import Check, Finding, Seen, quoted
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
            order = np.argsort(code, kind="stable")
            rising = code[order]
            for what, rows, share in seen.across(code):
                found = [(int(r), _partner(seen, int(r), order[_slice(rising, int(code[r]))], exact)) for r in rows]
                other = [(r, p) for r, p in found if p is not None]
                if other:
                    yield _told(seen, column.name, raw, other, what, share * len(other) / len(rows))


def _slice(rising: np.ndarray, value: int) -> slice:
    """Where a value stands among rising ones; the first hundred of many."""
    start, stop = np.searchsorted(rising, [value, value + 1])
    return slice(int(start), min(int(stop), int(start) + 100))


def _told(seen: Seen, name: str, raw: list[str], pairs: list[tuple[int, int]], what: str, share: float) -> Finding:
    how = f"differ from one in {seen.elsewhere} in case, blanks or punctuation alone"
    shown = tuple(
        f"{quoted(raw[r], 40)} as {seen.whole.where(int(seen.places[p]))} {quoted(raw[p], 40)}" for r, p in pairs[:5]
    )
    rows = tuple(r for r, _ in pairs[:5])
    return Finding(
        "near_duplicates", (name,), rows, f"{name}: {len(pairs):,} {what} ({share:.1%}) {how}", examples=shown
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


def _partner(seen: Seen, row: int, alike: np.ndarray, exact: np.ndarray) -> int | None:
    """A row of another side that is nearly the same; None where one is the very same, which duplicates say."""
    assert seen.sides is not None
    there = seen.sides[alike] >= 0
    there &= (seen.sides[alike] != seen.sides[row]) if seen.folds else (seen.sides[alike] == 0)
    rows = alike[there]
    return None if not len(rows) or (exact[rows] == exact[row]).any() else int(rows[0])
