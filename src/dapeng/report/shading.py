"""A text with what its pieces add: shaded where it stands, and the strongest pieces in words and figures."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from dapeng.columns.tokenisers import WORD, clean
from dapeng.report.html import Content, Safe, decimals_of, el, join, own, signed

SHADES = 5
MOST_NAMED = 6
CUT = "..."
FORMS = ("NFKC", "NFC", "none")
"""Of Unicode, in which a column may read its texts (`normalise`): the tokens are found in that one."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a text, and what it adds; None for what was not read, and for blanks."""

    text: str
    weight: float | None = None


def shaded(text: str, tokens: list[dict[str, Any]]) -> Safe:
    """The text with shades, and a line of its strongest pieces."""
    named = [(str(t["token"]), float(t["weight"])) for t in tokens]
    return join(el("p", *_spans(pieces(text, named)), class_="shaded", dir="auto"), _strongest(named))


def pieces(text: str, tokens: list[tuple[str, float]]) -> list[Piece]:
    """The text cut where its tokens are. Tokens that are not stretches of it (unknown scripts of a tokeniser) stand by themselves."""
    spellings = [_spelt(text, form) for form in FORMS]
    for find in (_in_order, _by_words):
        for spelt, lower in spellings:
            if found := find(spelt, lower, tokens):
                return found
    return [p for token, weight in tokens for p in (Piece(token, weight), Piece(" "))]


def _spelt(text: str, form: str) -> tuple[str, str]:
    """The text in a form, and in small letters of the same length."""
    spelt = clean(text, lowercase=False, form=form)
    lower = spelt.lower()
    return (spelt, lower) if len(lower) == len(spelt) else (lower, lower)  # a letter whose small form is longer


def _in_order(text: str, lower: str, tokens: list[tuple[str, float]]) -> list[Piece]:
    """Tokens that follow each other through the whole text; none if these don't."""
    out: list[Piece] = []
    at = 0
    for token, weight in tokens:
        wanted = token.lower().strip()
        start = lower.find(wanted, at)
        if start < 0 or lower[at:start].strip():
            cut = text.endswith(CUT) and len(lower) - at < len(wanted) + len(CUT)
            return [*out, Piece(text[at:])] if cut else []
        out += [Piece(text[at:start]), Piece(text[start : start + len(wanted)], weight)]
        at = start + len(wanted)
    return [*out, Piece(text[at:])]


def _by_words(text: str, lower: str, tokens: list[tuple[str, float]]) -> list[Piece]:
    """Words with their parts of all n-grams that they are in; none if most n-grams are not there."""
    words = list(WORD.finditer(lower))
    spelt = [w.group() for w in words]
    sums: list[float | None] = [None] * len(words)
    seen: dict[str, int] = defaultdict(int)
    missed = 0
    for token, weight in tokens:
        parts = token.lower().split()
        places = [i for i in range(len(words) - len(parts) + 1) if spelt[i : i + len(parts)] == parts]
        if seen[token] >= len(places):
            missed += 1
            continue
        start = places[seen[token]]
        seen[token] += 1
        for i in range(start, start + len(parts)):
            sums[i] = (sums[i] or 0.0) + weight / len(parts)
    if missed * 2 > len(tokens) and not text.endswith(CUT):
        return []
    out, at = [], 0
    for word, weight in zip(words, sums):
        out += [Piece(text[at : word.start()]), Piece(text[word.start() : word.end()], weight)]
        at = word.end()
    return [*out, Piece(text[at:])]


def _spans(found: list[Piece]) -> list[Content]:
    known = [p.weight for p in found if p.weight is not None]
    most, decimals = max(map(abs, known), default=0.0), decimals_of(known)
    out: list[Content] = []
    for piece in found:
        shade = 0 if not piece.weight else round(SHADES * abs(piece.weight) / most)
        if not shade or not piece.text.strip():
            out.append(piece.text)
            continue
        way = "for" if piece.weight and piece.weight > 0 else "against"
        title = signed(piece.weight or 0.0, decimals)
        out.append(el("span", piece.text, class_=f"{way} s{shade}", title=title))
    return out


def _strongest(tokens: list[tuple[str, float]]) -> Safe:
    """The same for those who see no shades: the strongest pieces by name, each once."""
    sums: dict[str, float] = defaultdict(float)
    for token, weight in tokens:
        sums[token.strip() or "blank"] += weight
    decimals = decimals_of(sums.values())
    told = [i for i in sums.items() if signed(i[1], decimals).strip("0.,")]
    ranked = sorted(told, key=lambda i: -abs(i[1]))
    parts = []
    for name, ones in (("For", [t for t in ranked if t[1] > 0]), ("Against", [t for t in ranked if t[1] < 0])):
        if ones:
            each = [
                join("“", own(t), "” ", el("span", signed(w, decimals), class_="quiet")) for t, w in ones[:MOST_NAMED]
            ]
            listed = [join(", " if i else "", e) for i, e in enumerate(each)]
            parts.append(el("p", el("b", name, ": "), *listed, class_="strongest"))
    return join(parts)
