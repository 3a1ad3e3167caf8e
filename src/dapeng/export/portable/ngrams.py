"""Hashed counts of n-grams, equal to scikit-learn's HashingVectorizer as `TextColumn.matrix` uses it, in plain Python.

Hash: Appleby: MurmurHash3, 32 bits, seed 0.
"""

from __future__ import annotations

# --- shipped from here ---


def murmur(data: bytes) -> int:
    """MurmurHash3 x86 32 bits with seed 0, as a signed number."""
    h, size = 0, len(data)
    for at in range(0, size // 4 * 4, 4):
        k = int.from_bytes(data[at : at + 4], "little") * 0xCC9E2D51 & 0xFFFFFFFF
        k = ((k << 15 | k >> 17) & 0xFFFFFFFF) * 0x1B873593 & 0xFFFFFFFF
        h ^= k
        h = ((h << 13 | h >> 19) & 0xFFFFFFFF) * 5 + 0xE6546B64 & 0xFFFFFFFF
    tail = data[size // 4 * 4 :]
    if tail:
        k = int.from_bytes(tail, "little") * 0xCC9E2D51 & 0xFFFFFFFF
        h ^= ((k << 15 | k >> 17) & 0xFFFFFFFF) * 0x1B873593 & 0xFFFFFFFF
    h ^= size
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    h ^= h >> 16
    return h - (1 << 32) if h & 0x80000000 else h


def hashed(grams, size: int) -> dict[int, int]:
    """Counts by place among `size` (a power of two)."""
    counts: dict[int, int] = {}
    for gram in grams:
        place = abs(murmur(gram.encode("utf-8"))) % size
        counts[place] = counts.get(place, 0) + 1
    return counts


def word_grams(text: str) -> list[str]:
    """Words and pairs of words."""
    import re

    words = re.findall(r"(?u)\w+|[^\w\s]", text)
    return words + [f"{words[i]} {words[i + 1]}" for i in range(len(words) - 1)]


def letter_grams(text: str, low: int = 2, high: int = 5) -> list[str]:
    """Runs of characters within words, which have a blank at either end; a short word counts once."""
    out = []
    for word in text.split():
        word = f" {word} "
        for n in range(low, high + 1):
            out.append(word[:n])
            out.extend(word[i : i + n] for i in range(1, len(word) - n + 1))
            if len(word) <= n:
                break
    return out


def runs(text: str, lengths) -> list[str]:
    """Runs of so many characters."""
    import re

    text = re.sub(r"\s\s+", " ", text)
    return [text[i : i + n] for n in lengths for i in range(len(text) - n + 1)]


def text_counts(text: str, han: bool, lowercase: bool, form: str) -> dict[int, int]:
    """Counts of a text's n-grams by place: of Han text among 2^20, else of three kinds among 2^19 each."""
    import unicodedata

    text = text.encode("utf-8", "replace").decode("utf-8")
    text = text if form == "none" else unicodedata.normalize(form, text)  # type: ignore[arg-type]
    text = " ".join((text.lower() if lowercase else text).split())
    if han:
        return hashed(runs(text, (1, 2, 3)), 2**20)
    kinds = word_grams(text), letter_grams(text), runs(text, (3, 4, 5, 6))
    return {at * 2**19 + place: n for at, grams in enumerate(kinds) for place, n in hashed(grams, 2**19).items()}
