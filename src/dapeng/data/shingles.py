"""Texts as sets of shingles, and the bands of their MinHash signatures: what finds texts that are nearly the same.

A shingle is five words in a row, or five characters where a script writes no blanks. Broder: On the Resemblance and Containment
of Documents, 1997; Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, ch. 3 (http://www.mmds.org).

Legend: N rows, S shingles, P permutations, R rows of a signature in a band.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
import zlib
from collections.abc import Iterable

import numpy as np

from dapeng.core.errors import DataError, Problem
from dapeng.data import kept
from dapeng.data.draws import GOLDEN, key, mix

UNITS = 5
"""Words or characters of a shingle."""
PERMUTATIONS = 128
FOUND = 0.99
"""Share of the pairs just at the threshold that bands are to find."""
WORDS = re.compile(r"\w+")
NO_BLANKS = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, kana and Han."""
NO_BLANKS_SHARE = 0.3
AT_ONCE = 1 << 20
"""Units of the texts that are hashed at a time."""


def bands_for(threshold: float) -> tuple[int, int]:
    """(bands, R): the narrowest search by which two texts as alike as the threshold meet with `FOUND` probability."""
    for size in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // size
        if 1 - (1 - threshold**size) ** bands >= FOUND:
            return bands, size
    return PERMUTATIONS, 1


def units(text: str) -> np.ndarray:
    """(U,) uint64: a number for each word, or for each letter and digit where the text is in a script without blanks."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    if len(NO_BLANKS.findall(plain)) > NO_BLANKS_SHARE * len(plain):
        letters = "".join(WORDS.findall(plain)).encode("utf-32-le", "replace")
        return np.frombuffer(letters, np.uint32).astype(np.uint64)
    crc = zlib.crc32
    words = [crc(w.encode("utf-8", "replace")) for w in WORDS.findall(plain)]
    return np.array(words, np.uint64)


def shingles(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Units of each row -> all shingles, each row's rising and without repetition (S,) uint32; and how many of each (N,).

    A text that is shorter than a shingle is one itself; one without a word or letter has none.
    """
    padded = [np.pad(u, (0, max(0, UNITS - len(u)))) if len(u) else u for u in rows]
    lengths = np.fromiter(map(len, padded), np.int64, len(padded))
    flat = np.concatenate([*padded, np.zeros(UNITS, np.uint64)])
    total = int(lengths.sum())
    with np.errstate(over="ignore"):
        sums = np.zeros(total, np.uint64)
        for place in range(UNITS):
            sums = sums * GOLDEN + mix(flat[place : place + total] + np.uint64(place + 1))
    row = np.repeat(np.arange(len(rows), dtype=np.uint64), lengths)
    last = (
        np.repeat(np.cumsum(lengths), lengths) - np.arange(total) >= UNITS
    )  # those that don't reach into the next row
    pairs = np.unique((row[last] << np.uint64(32)) | (mix(sums[last]) >> np.uint64(32)))
    counts = np.bincount((pairs >> np.uint64(32)).astype(np.int64), minlength=len(rows))
    return (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32), counts


class Shingled:
    """Texts that were added, one row each: their shingles, in a file that vanishes, and what they are looked up by.

    bands (N, bands) uint64: rows that are alike in a band of their signatures have the same number there. whole (N,) uint64:
    rows of the same shingles have the same. rows: how many there will be.
    """

    def __init__(self, rows: int, threshold: float, seed: int = 0):
        count, self.size = bands_for(threshold)
        self.threshold = threshold
        self.bands = kept.scratch(rows * count, np.uint64).reshape(rows, count)
        self.whole, self.counts = np.empty(rows, np.uint64), np.empty(rows, np.int32)
        draw = mix(np.arange(2 * PERMUTATIONS, dtype=np.uint64) * GOLDEN + key(seed))
        self._factors, self._shifts = draw[:PERMUTATIONS] | np.uint64(1), draw[PERMUTATIONS:]
        self._at, self._waiting, self._units = 0, list[np.ndarray](), 0
        folder = kept.folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError as error:
            what = f"can't keep what texts are compared by: {error.strerror or error}"
            raise DataError(Problem(str(folder), what, "name another folder in DAPENG_CACHE")) from None

    def add(self, texts: Iterable[str | None]) -> None:
        """The next rows; None for one without a text."""
        for text in texts:
            self._waiting.append(units(text or ""))
            self._units += len(self._waiting[-1])
            if self._units > AT_ONCE:
                self._flush()

    def close(self) -> None:
        """All rows were added."""
        self._flush()
        self.starts = np.concatenate([[0], np.cumsum(self.counts[: self._at], dtype=np.int64)])
        self._file.flush()
        total = int(self.starts[-1])
        self.flat = np.memmap(self._file, np.uint32, "r", shape=(total,)) if total else np.empty(0, np.uint32)

    def _flush(self) -> None:
        flat, counts = shingles(self._waiting)
        place = slice(self._at, self._at + len(counts))
        self._file.write(flat.data)
        self.counts[place] = counts
        self.bands[place], self.whole[place] = self._signed(flat, counts)
        self._at, self._waiting, self._units = place.stop, [], 0

    def _signed(self, flat: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, bands), (N,): what rows are looked up by; 0 for rows without shingles."""
        some = np.flatnonzero(counts)
        bands = np.zeros((len(counts), self.bands.shape[1]), np.uint64)
        whole = np.zeros(len(counts), np.uint64)
        if not len(some):
            return bands, whole
        starts = np.cumsum(counts[some]) - counts[some]
        with np.errstate(over="ignore"):
            mixed = mix(flat.astype(np.uint64) * GOLDEN)
            whole[some] = np.add.reduceat(mixed, starts)
            for band in range(bands.shape[1]):
                joined = np.full(len(some), np.uint64(band + 1))
                for p in range(band * self.size, (band + 1) * self.size):
                    least = np.minimum.reduceat(mixed * self._factors[p] + self._shifts[p], starts)
                    joined = mix(joined * GOLDEN + least)
                bands[some, band] = joined
        return bands, whole

    def jaccard(self, first: int, second: int) -> float:
        """The share of two rows' shingles that both have."""
        a, b = (self.flat[self.starts[r] : self.starts[r + 1]] for r in (first, second))
        both = len(np.intersect1d(a, b, assume_unique=True))
        return both / max(len(a) + len(b) - both, 1)
