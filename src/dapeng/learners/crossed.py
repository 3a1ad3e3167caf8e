"""Factors, and factors crossed: which level each row has, of one column or of several together.

Legend: N rows, G crossings, q levels of all crossings together.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from dapeng.learners.base import Inputs

FEW_VALUES = 32
"""Different numbers up to which a column of numbers is a factor, too."""
MOST_ALONE = 0.5
"""Levels for each row past which a crossing says nothing that the next row could use."""
MOST_KEYS = 2**62


@dataclass(frozen=True)
class Crossing:
    """Columns that are looked at together, and the combinations that training rows have: keys (levels,) that rise."""

    columns: tuple[str, ...]
    keys: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def __str__(self) -> str:
        return ":".join(self.columns)


class Factors:
    """levels: by column, the codes or numbers (levels,) that training rows have, rising."""

    def __init__(self, levels: Mapping[str, np.ndarray]):
        self.levels = dict(levels)

    @classmethod
    def fit(cls, inputs: Inputs) -> Factors:
        found = {}
        for name, matrix in inputs.matrices.items():
            if sp.issparse(matrix) or matrix.shape[1] != 1:
                continue
            values = np.asarray(matrix[:, 0], np.float64)
            levels = np.unique(values[~np.isnan(values)])
            if len(levels) > 1 and (inputs.columns[name].coded or len(levels) <= FEW_VALUES):
                found[name] = levels
        return cls(found)

    def codes(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """By column, (N,) the level's position, -1 for one that no training row has."""
        return {n: _places(np.asarray(inputs.matrices[n][:, 0], np.float64), v) for n, v in self.levels.items()}

    def keys(self, codes: Mapping[str, np.ndarray], columns: Sequence[str]) -> np.ndarray:
        """(N,) one number for each combination of levels, -1 where one is not known."""
        key, known = np.zeros(len(codes[columns[0]]), np.int64), np.ones(len(codes[columns[0]]), bool)
        for name in columns:
            key = key * len(self.levels[name]) + np.maximum(codes[name], 0)
            known &= codes[name] >= 0
        return np.where(known, key, -1)

    def crossings(self, codes: Mapping[str, np.ndarray], columns: Sequence[str], order: int) -> list[Crossing]:
        """Of every `order` of these columns: those whose levels return, and are not those of fewer columns by other names."""
        out = []
        for several in itertools.combinations(columns, order):
            if np.prod([float(len(self.levels[n])) for n in several]) > MOST_KEYS:
                continue
            keys = np.unique(self.keys(codes, several))
            keys = keys[keys >= 0]
            parts = itertools.combinations(several, order - 1) if order > 1 else ()
            same = any(len(np.unique(self.keys(codes, part))) == len(keys) for part in parts)
            if len(keys) <= MOST_ALONE * len(codes[several[0]]) and not same:
                out.append(Crossing(several, keys))
        return out

    def indicators(self, codes: Mapping[str, np.ndarray], crossings: Sequence[Crossing]) -> sp.csr_matrix:
        """(N, q) float32: 1 at the level that a row has of each crossing; nothing where no training row has it."""
        at = np.stack([_places(self.keys(codes, c.columns), c.keys) for c in crossings], 1)
        starts = np.cumsum([0, *(len(c) for c in crossings)])
        known = at >= 0
        rows = np.concatenate([[0], np.cumsum(known.sum(1))])
        columns = (at + starts[:-1])[known]
        return sp.csr_matrix((np.ones(len(columns), np.float32), columns, rows), (len(at), int(starts[-1])))


def _places(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(N,) where each value stands among those that are known, which rise; -1 where it doesn't."""
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[at] == values, at, -1)
