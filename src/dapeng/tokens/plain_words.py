"""Words of plain texts in any script, as baselines compare and metrics count them."""

from __future__ import annotations

import re
import unicodedata

HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
"""Han characters, kana and Hangul, within a pattern: scripts that put no blanks between words, or not between all."""
WORD = re.compile(rf"[{HAN}]|[^\W{HAN}]+")


def words(text: str) -> list[str]:
    """Words in lower case, each Han character one."""
    return WORD.findall(unicodedata.normalize("NFKC", text).lower())
