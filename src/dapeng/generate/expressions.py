"""Regular expressions as Python's `re` means them, in the notation of the library that builds the automaton.

That library writes classes of characters otherwise: what \\w or a letter of either case holds is asked of `re` itself, so that a
text that the automaton accepts is one that `re.fullmatch` accepts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

CATEGORIES = {
    "CATEGORY_DIGIT": r"\d", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_SPACE": r"\s", "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w", "CATEGORY_NOT_WORD": r"\W",
}  # fmt: skip
REFUSED = {
    "ASSERT": "looking ahead or behind, (?=...) or (?<=...),", "ASSERT_NOT": "looking ahead or behind, (?!...) or (?<!...),",
    "GROUPREF": "repeating what a group found, \\1,", "GROUPREF_EXISTS": "asking for a group, (?(1)...),",
    "ATOMIC_GROUP": "an atomic group, (?>...),", "POSSESSIVE_REPEAT": "a possessive repeat, *+,",
}  # fmt: skip
BEGINS = ("AT_BEGINNING", "AT_BEGINNING_STRING")
ENDS = ("AT_END", "AT_END_STRING")
FLAGS = re.IGNORECASE | re.DOTALL | re.ASCII
NOTHING = "[^\\x{0}-\\x{10FFFF}]"


@lru_cache(64)
def translated(expression: str) -> str:
    """The expression over whole texts, without groups that are remembered. ^ and $ stand where a text begins and ends, or not at all.

    Raises ValueError, with the place, for one that is wrong, and for what no automaton can do.
    """
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(f"character {(error.pos or 0) + 1} of {expression!r}: {error.msg}") from None
    except (RecursionError, OverflowError) as error:
        raise ValueError(f"{expression[:60]!r}...: {error}") from None
    parsed: Any = re._parser.parse(expression)  # type: ignore[attr-defined]
    return _sequence(list(parsed), parsed.state.flags & FLAGS, True, True)


def letters(characters: Iterable[str]) -> str:
    """A class of these characters."""
    return _spelt(_runs(sorted(map(ord, characters))))


def _sequence(items: list[tuple[Any, Any]], flags: int, first: bool, last: bool) -> str:
    """first, last: nothing stands before, or behind."""
    parts = []
    for place, (code, value) in enumerate(items):
        begins = first and all(str(c) == "AT" for c, _ in items[:place])
        ends = last and all(str(c) == "AT" for c, _ in items[place + 1 :])
        parts.append(_item(str(code), value, flags, begins, ends))
    return "".join(parts)


def _item(code: str, value: Any, flags: int, first: bool, last: bool) -> str:
    if code in ("LITERAL", "NOT_LITERAL"):
        return _one([(code, value)], flags)
    if code == "ANY":
        return _asked(".", flags)
    if code == "IN":
        return _one(value, flags)
    if code == "AT":
        return _edge(str(value), first, last)
    if code == "BRANCH":
        return "(?:" + "|".join(_sequence(list(b), flags, first, last) for b in value[1]) + ")"
    if code == "SUBPATTERN":
        _, more, fewer, items = value
        return "(?:" + _sequence(list(items), (flags | more) & ~fewer & FLAGS, first, last) + ")"
    if code in ("MAX_REPEAT", "MIN_REPEAT"):  # which of several ways is taken first makes no difference to whole texts
        low, high, items = value
        most = "" if str(high) == "MAXREPEAT" else str(int(high))
        return f"(?:{_sequence(list(items), flags, False, False)}){{{int(low)},{most}}}"
    raise ValueError(f"{REFUSED.get(code, code.lower())} can't be kept to while a text is written")


def _edge(kind: str, first: bool, last: bool) -> str:
    if kind in BEGINS + ENDS:
        if (kind in BEGINS and first) or (kind in ENDS and last):
            return ""
        raise ValueError("^ stands only where the text begins, and $ only where it ends: the whole text has to match")
    raise ValueError("the edge of a word, \\b or \\B, can't be kept to while a text is written")


def _one(items: list[tuple[Any, Any]], flags: int) -> str:
    """One character of a set."""
    parts, asked = [], bool(flags & re.IGNORECASE)
    for code, value in ((str(c), v) for c, v in items):
        asked |= code in ("CATEGORY", "NEGATE", "NOT_LITERAL")
        if code == "CATEGORY":
            parts.append(CATEGORIES[str(value)])
        elif code == "RANGE":
            parts.append(f"\\U{value[0]:08x}-\\U{value[1]:08x}")
        else:
            parts.append("^" if code == "NEGATE" else ("^" * (code == "NOT_LITERAL")) + f"\\U{value:08x}")
    if asked:
        return _asked(f"[{''.join(parts)}]", flags)
    return _spelt([(v, v) if str(c) == "LITERAL" else v for c, v in items])


@lru_cache(256)
def _asked(source: str, flags: int) -> str:
    """The characters that `re` finds by an expression of one of them."""
    found = re.compile(f"(?:{source})+", flags).finditer(_everything())
    return _spelt([(ord(m[0][0]), ord(m[0][-1])) for m in found])


@lru_cache(1)
def _everything() -> str:
    """Every character, in order; halves of surrogates are none."""
    return "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))


def _runs(points: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for point in points:
        if runs and point == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], point)
        else:
            runs.append((point, point))
    return runs


def _spelt(runs: list[tuple[int, int]]) -> str:
    """A class of ranges of code points; those that are half a surrogate can't be written."""
    parts = []
    for low, high in runs:
        for a, b in ((low, min(high, 0xD7FF)), (max(low, 0xE000), high)):
            if a <= b:
                parts.append(f"\\x{{{a:x}}}" if a == b else f"\\x{{{a:x}}}-\\x{{{b:x}}}")
    return f"[{''.join(parts)}]" if parts else NOTHING
