"""What may be asked of a database: one SELECT, and in which order its rows come.

The connection is read-only besides where the database knows such a thing; this is the part that holds for all of them.
"""

from __future__ import annotations

import re

from dapeng.core.errors import DataError, Problem

_QUOTED = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|(\$\w*\$).*?\1|--[^\n]*|/\*.*?\*/", re.DOTALL
)
_WRITES = re.compile(
    r"\b(insert|update|delete|merge|into|drop|alter|create|truncate|grant|revoke|exec|execute)\b", re.IGNORECASE
)


def refuse_writing(query: str, name: str) -> None:
    """Refuse everything but one SELECT (or WITH ... SELECT). Raises DataError."""
    bare = _QUOTED.sub(" '' ", query).strip()
    hint = "only one SELECT is run, such as ?query=SELECT age, job FROM people ORDER BY id"
    if not re.match(r"\(*\s*(select|with)\b", bare, re.IGNORECASE):
        first = bare.split(None, 1)[0] if bare else "nothing"
        raise DataError(Problem(name, f"expected a query that begins with SELECT, found {first[:40]!r}", hint))
    if ";" in bare.rstrip("; \t\r\n"):
        raise DataError(Problem(name, "the query holds more than one statement", hint))
    writes = _WRITES.search(bare)
    if writes:
        what = f"the query says {writes[0].upper()}, which does more than read"
        raise DataError(Problem(name, what, f'{hint}; a column of that name is written "{writes[0]}"'))


def is_ordered(query: str) -> bool:
    """True if the rows of the query as a whole are put in order."""
    bare = _QUOTED.sub(" '' ", query)
    while "(" in bare:  # what stands in brackets orders only what it makes
        inner = re.sub(r"\([^()]*\)", " ", bare)
        if inner == bare:
            break
        bare = inner
    return re.search(r"\border\s+by\b", bare, re.IGNORECASE) is not None
