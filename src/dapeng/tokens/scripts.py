"""How many tokens a character takes, script by script: what a tokeniser does to each language of the texts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

SCRIPTS = {
    "Latin": "A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff",
    "Han": "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "Kana": "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "Hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "Cyrillic": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff\u1f00-\u1fff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff",
    "Hebrew": "\u0590-\u05ff",
    "Devanagari": "\u0900-\u097f",
    "Bengali": "\u0980-\u09ff",
    "Tamil": "\u0b80-\u0bff",
    "Thai": "\u0e00-\u0e7f",
    "Georgian": "\u10a0-\u10ff",
    "digits": "0-9\u0660-\u0669\uff10-\uff19",
}
"""Ranges of the letters of the scripts that most texts are in (Unicode 16, blocks)."""
OTHER = "others"
RUN = re.compile("|".join(f"(?P<s{i}>[{letters}]+)" for i, letters in enumerate(SCRIPTS.values())) + "|(?P<rest>\\S)")
NAMES = {f"s{i}": name for i, name in enumerate(SCRIPTS)}
RAREST = 0.001
"""Share of the characters under which a script is not told."""


def main_script(text: str) -> str:
    """The script that most letters of a text are in; digits and others only where it has no letters of a known script."""
    sizes: dict[str, int] = defaultdict(int)
    for found in RUN.finditer(text):
        sizes[NAMES.get(found.lastgroup or "", OTHER)] += len(found.group())
    letters = {s: n for s, n in sizes.items() if s not in (OTHER, "digits")} or sizes
    return max(letters, key=lambda s: letters[s], default=OTHER)


class Encodes(Protocol):
    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]: ...


def by_script(codec: Encodes, texts: Iterable[str]) -> dict[str, dict[str, float]]:
    """{script: {"share" of the characters that are no blanks, "fertility": tokens a character}}, the commonest first.

    A word is cut by itself, without the blank before it.
    """
    runs: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        for found in RUN.finditer(text):
            runs[NAMES.get(found.lastgroup or "", OTHER)].append(found.group())
    sizes = {script: sum(map(len, some)) for script, some in runs.items()}
    total = sum(sizes.values())
    told = {s: n for s, n in sorted(sizes.items(), key=lambda i: -i[1]) if n >= RAREST * total}
    return {s: {"share": n / total, "fertility": float(codec.encode(runs[s])[1].sum()) / n} for s, n in told.items()}
