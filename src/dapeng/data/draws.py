"""Random numbers as functions of what they are for: (seed, purpose, row, index) -> uniform. No state, so nothing to save.

SplitMix64: Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014.
"""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MASK = 2**64 - 1


def mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser, elementwise on uint64."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def key(*parts: int) -> np.uint64:
    """One 64-bit key out of several small integers."""
    state = 0
    for part in parts:  # the same as `mix`, in Python's integers: this is asked at every step
        state = (state + 0x9E3779B97F4A7C15 + part) & MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
        state ^= state >> 31
    return np.uint64(state)


def uniform(rows: np.ndarray, count: int, *parts: int) -> np.ndarray:
    """(N, count) float64 in [0, 1): the same for a row whatever the batch that it comes in."""
    with np.errstate(over="ignore"):
        base = mix(rows.astype(np.uint64) * GOLDEN + key(*parts))[:, None]
        bits = mix(base + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(count: int, *parts: int) -> np.ndarray:
    """A permutation of range(count), int64."""
    return np.random.Generator(np.random.Philox(int(key(*parts)))).permutation(count)
