"""Letters that are not what they seem: invisible ones, damaged ones, one letter in two forms, alphabets mixed within a word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import ClassVar, Literal

from dapeng.checks.base import Cells, Check, Finding, Seen, quoted
from dapeng.checks.lookalike import LOOKALIKES
from dapeng.columns.category import INVISIBLE
from dapeng.core.kinds import checks

CONTROL = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
WRONG = re.compile("[ÂÃâåäæçèéêð][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")
"""Where UTF-8 was read as Latin-1 or Windows-1252: é became Ã©."""
HAN_WRONG = re.compile("锟斤拷|锘|烫烫烫|屯屯屯")
"""Replacement characters, or fresh memory, read as GB18030."""
WORD = re.compile(r"[^\W\d_]+")
FOREIGN = frozenset(chr(c) for c in LOOKALIKES)
KINDS = ("text", "category", "set")


@checks
class Unicode(Check):
    """Cells with invisible, replaced, or wrongly decoded letters, letters in two forms, and look-alikes within words."""

    type: Literal["unicode"] = "unicode"
    order: ClassVar[int] = 30

    def look(self, seen: Seen) -> Iterator[Finding]:
        for column in seen.columns(KINDS):
            if not column.plain:
                continue
            odd = [(row, text) for row, text in enumerate(column.texts()) if text and not _plain(text)]
            for kind, (test, what) in TESTS.items():
                found = [(row, text) for row, text in odd if test(text)]
                if kind == "forms" and not _mixed([text for _, text in odd]):
                    continue
                if found:
                    yield _finding(column, found, what)


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _finding(column: Cells, found: list[tuple[int, str]], what: str) -> Finding:
    shown = tuple(quoted(_around(text)) for _, text in found[:5])
    text = f"{column.name}: {len(found):,} cells {what}"
    return Finding("unicode", (column.name,), tuple(row for row, _ in found[:5]), text, "warning", shown)


def _around(text: str) -> str:
    """The part of a long text where its first strange letter is."""
    at = next((i for i, c in enumerate(text) if not c.isprintable() or c == "\ufffd" or INVISIBLE.match(c)), None)
    if at is None:
        match = WRONG.search(text) or HAN_WRONG.search(text)
        at = match.start() if match else 0
    return text[max(at - 15, 0) : at + 35]


def _invisible(text: str) -> bool:
    return bool(INVISIBLE.search(text) or CONTROL.search(text))


def _replaced(text: str) -> bool:
    return "\ufffd" in text


def wrongly_decoded(text: str) -> bool:
    """Whether a text, or a part of it, is UTF-8 that was read in another encoding: reading it back gives other, valid text."""
    if HAN_WRONG.search(text):
        return True
    for match in WRONG.finditer(text):
        piece = text[match.start() : match.start() + 4]
        for encoding in ("cp1252", "latin-1"):
            for end in range(len(piece), 1, -1):
                try:
                    piece[:end].encode(encoding).decode("utf-8")
                    return True
                except UnicodeError:
                    continue
    return False


def _decomposed(text: str) -> bool:
    return not unicodedata.is_normalized("NFC", text)


def _mixed(texts: list[str]) -> bool:
    """Whether a column has letters in both forms: composed ones too."""
    return any(not unicodedata.is_normalized("NFD", t) and unicodedata.is_normalized("NFC", t) for t in texts)


def _alphabets(text: str) -> bool:
    """Whether a word has Latin letters and Cyrillic or Greek ones that look Latin."""
    if not FOREIGN.intersection(text):
        return False
    return any(FOREIGN.intersection(w) and re.search("[A-Za-z]", w) for w in WORD.findall(text))


TESTS = {
    "invisible": (_invisible, "hold characters that can't be seen (zero-width, soft hyphen, control)"),
    "replaced": (
        _replaced,
        "hold the replacement character: what stood there is lost; read the original in its own encoding",
    ),
    "decoded": (
        wrongly_decoded,
        "look like UTF-8 that was read in another encoding (é as Ã©); mend the file, or set data.encoding",
    ),
    "forms": (_decomposed, "have letters and their accents apart, where others have them in one (NFD beside NFC)"),
    "alphabets": (_alphabets, "mix alphabets within a word: letters that look Latin and are Cyrillic or Greek"),
}
