"""Sentences of plain texts, and counts of their words, in any script: what baselines that write are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from dapeng.tokens.plain_words import words

END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])|\n+")
FEATURES = 2**20


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, without blanks around them; one where there is no end."""
    found = [s.strip() for s in END.split(text)]
    return [s for s in found if s] or [text.strip()]


def bags(texts: Sequence[str], most: int = 2) -> sp.csr_matrix:
    """(N, 2^20) hashed counts of the words of each text and of so many in a row."""
    from sklearn.feature_extraction.text import HashingVectorizer

    options: dict[str, Any] = {
        "analyzer": lambda text: _runs(words(text), most),
        "n_features": FEATURES,
        "norm": None,
        "alternate_sign": False,
        "dtype": np.float32,
    }
    reader = HashingVectorizer(**options)
    return sp.csr_matrix(reader.transform(texts))


def _runs(units: list[str], most: int) -> list[str]:
    return [" ".join(units[i : i + n]) for n in range(1, most + 1) for i in range(len(units) - n + 1)]


def rarity(counts: sp.csr_matrix) -> np.ndarray:
    """(k,) how much a word tells: the logarithm of texts over texts that have it (idf)."""
    rows, features = counts.get_shape()
    there = np.bincount(counts.indices, minlength=features)
    return np.log((1 + rows) / (1 + there)).astype(np.float32) + 1
