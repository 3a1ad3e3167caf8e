"""Several sources drawn in stated proportions, whatever their sizes: an epoch's rows are a function of (seed, epoch) alone.

An epoch has as many rows (of texts that are laid behind each other: tokens) as train in all. Each source gives its share of
them: one that is small comes round several times, one that is large goes on in the next epoch where it stopped. Every row of a
source is seen before one of it is seen again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dapeng.core.errors import DataError, Problem
from dapeng.data.draws import permutation

TURN = 11
"""Purpose of the draws, beside those of the feeds."""


@dataclass(frozen=True)
class Mixture:
    """names, weights: of the sources. ends: (sources,) positions of the whole data behind the last row of each."""

    names: Sequence[str]
    weights: Sequence[float]
    ends: np.ndarray

    def sources(self, rows: np.ndarray) -> np.ndarray:
        """(N,) which source each row is of."""
        return np.searchsorted(self.ends, rows, side="right")

    @property
    def shares(self) -> np.ndarray:
        """(sources,) of an epoch."""
        weights = np.array(self.weights, np.float64)
        return weights / weights.sum()

    def counts(self, rows: int) -> np.ndarray:
        """(sources,) rows of an epoch of so many; they add up."""
        bounds = np.round(np.cumsum([0.0, *self.shares]) * rows).astype(np.int64)
        return np.diff(bounds)

    def check(self, rows: np.ndarray) -> None:
        """Raises DataError where a source has no row that trains."""
        known = np.bincount(self.sources(rows), minlength=len(self.names))
        empty = [n for n, count in zip(self.names, known) if not count]
        if empty:
            problems = [Problem(f"data.mixture: {n}", "no row of it trains", "leave it out") for n in empty]
            raise DataError(problems)

    def rows(self, rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """(N,) positions that an epoch takes out of these rows that train, rising; rows that come twice stand there twice."""
        source, parts = self.sources(rows), []
        for number, count in enumerate(self.counts(len(rows)).tolist()):
            own = rows[source == number]
            for order, start, stop in _turns(len(own), epoch * count, count, seed, number):
                parts.append(own[order[start:stop]])
        return np.sort(np.concatenate(parts))

    def texts(self, source: np.ndarray, lengths: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Texts that an epoch takes, of their sources (N,) and lengths in tokens (N,): together at least as many tokens as all have."""
        parts = []
        for number, tokens in enumerate(np.ceil(self.shares * lengths.sum()).astype(np.int64).tolist()):
            own = np.flatnonzero(source == number)
            round_, begin = int(lengths[own].sum()), epoch * tokens
            for turn in range(begin // round_, (begin + tokens - 1) // round_ + 1):
                order = own[permutation(len(own), seed, TURN, number, turn)]
                ends = np.cumsum(lengths[order]) + turn * round_
                parts.append(order[(ends > begin) & (ends - lengths[order] < begin + tokens)])
        texts = np.concatenate(parts)
        return texts[permutation(len(texts), seed, epoch, 0)]

    def told(self, rows: np.ndarray, offsets: np.ndarray | None, seed: int) -> str:
        """In words, what the first epoch is made of. offsets: of the tokens of texts that are laid behind each other.

        Raises DataError where a source has no row that trains.
        """
        self.check(rows)
        source, unit = self.sources(rows), "rows" if offsets is None else "tokens"
        amounts = np.ones(len(rows), np.int64) if offsets is None else np.asarray(offsets[rows + 1] - offsets[rows])
        if offsets is None:
            drawn = np.searchsorted(rows, self.rows(rows, seed, 0))
        else:
            drawn = self.texts(source, amounts, seed, 0)
        there, taken = (np.bincount(source[at], amounts[at], len(self.names)) for at in (np.arange(len(rows)), drawn))
        each = [
            f"{name} {share:.1%} ({t:,.0f} {unit}, {t / max(h, 1):.2g} times what it has)"
            for name, share, t, h in zip(self.names, taken / max(taken.sum(), 1), taken, there)
        ]
        return "an epoch is " + ", ".join(each)


def _turns(rows: int, begin: int, count: int, seed: int, source: int) -> Iterator[tuple[np.ndarray, int, int]]:
    """Orders of a source's rows, one round behind the other, and the stretch of each that `count` rows from `begin` on are in."""
    end = begin + count
    while begin < end:
        turn, at = divmod(begin, rows)
        stop = min(rows, at + end - begin)
        yield permutation(rows, seed, TURN, source, turn), at, stop
        begin += stop - at
