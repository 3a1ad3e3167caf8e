"""How much the effects of each group vary, and the effects that follow: a ridge regression whose penalties the rows themselves choose.

For y = x b + noise with b ~ N(0, variance of its group) the marginal likelihood is at its top where a group's variance is the squared
length of its effects over its effective number (MacKay: Bayesian Interpolation, 1992; Tipping, 2001). That number takes the trace of an
inverse, which is estimated from random signs (Hutchinson, 1990). The effects are the best linear unbiased predictions of a
mixed-effects model (Henderson, 1975; Robinson, 1991).

Legend: N rows, q effects, G groups, P probes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

PROBES = 6
MOST_STEPS = 60
"""Of conjugate gradients a solution; the next one starts where it ended."""
CLOSE = 3e-3
SETTLED = 0.1
"""Largest change of the logarithm of a variance that counts, at which no further round is made."""
DOUBT, SMALL = 1.0, 0.01
"""As if an effect with this share of the noise's variance had been seen in each group, so that small groups settle."""


@dataclass
class Found:
    """effects (q,); variances (G,) of the groups and `noise` of the rows; effective (G,): how many effects the rows pay for."""

    effects: np.ndarray
    variances: np.ndarray
    noise: float
    effective: np.ndarray


def estimate(
    x: sp.csr_matrix,
    y: np.ndarray,
    owner: np.ndarray,
    start: np.ndarray,
    noise: float,
    most: int,
    until: float,
    seed: int,
) -> Found:
    """Variances of the groups and effects, in at most so many rounds, or up to a time (CPU seconds of the process).

    x (N, q), y (N,). owner (q,): each effect's group. start (G,): variances to start from; inf is a group of fixed effects and stays so.
    """
    random = np.random.default_rng(seed)
    signs = random.choice(np.array([-1, 1], np.float32), (len(owner), PROBES))
    wanted = np.concatenate([(x.T @ y)[:, None], signs], 1).astype(np.float32)
    turned, held = x.T.tocsr(), np.asarray(x.multiply(x).sum(0)).ravel()
    sizes = np.bincount(owner, minlength=len(start)).astype(np.float64)
    at, variances, effective, fixed = np.zeros_like(wanted), start.copy(), sizes.copy(), np.isinf(start)
    for _ in range(most):
        at = _solved(x, turned, held, (noise / variances)[owner], wanted, at)
        lengths = np.bincount(owner, at[:, 0].astype(np.float64) ** 2, len(start))
        traces = np.bincount(owner, (signs * at[:, 1:]).mean(1), len(start)) * noise
        effective = np.where(fixed, sizes, np.clip(sizes - traces / variances, 0, sizes))
        left = float(((y - x @ at[:, 0]) ** 2).sum())
        before, noise = variances, left / max(len(y) - effective.sum(), 0.1 * len(y))
        variances = np.where(fixed, np.inf, (lengths + DOUBT * SMALL * noise) / (effective + DOUBT))
        moved = np.abs(np.log(variances[~fixed] / before[~fixed])) * (effective[~fixed] > 1)
        if moved.max(initial=0.0) < SETTLED or time.process_time() > until:
            break
    return Found(at[:, 0], variances, noise, effective)


def effects_of(x: sp.csr_matrix, y: np.ndarray, owner: np.ndarray, variances: np.ndarray, noise: float) -> np.ndarray:
    """(q,) effects where the variances are known."""
    wanted = np.asarray(x.T @ y, np.float32)[:, None]
    held = np.asarray(x.multiply(x).sum(0)).ravel()
    penalties = (noise / variances)[owner]
    return _solved(x, x.T.tocsr(), held, penalties, wanted, np.zeros_like(wanted), 5 * MOST_STEPS, 0.1 * CLOSE)[:, 0]


def _solved(
    x: sp.csr_matrix,
    turned: sp.csr_matrix,
    held: np.ndarray,
    penalties: np.ndarray,
    wanted: np.ndarray,
    at: np.ndarray,
    most: int = MOST_STEPS,
    close: float = CLOSE,
) -> np.ndarray:
    """(q, P) of (x'x + penalties) at = wanted by conjugate gradients, each column by itself, scaled by the diagonal."""
    penalties = penalties.astype(np.float32)[:, None]
    scale = (1 / (held[:, None] + np.maximum(penalties, 1e-3))).astype(np.float32)
    rest = wanted - (turned @ (x @ at) + penalties * at)
    goal = close**2 * (wanted * wanted * scale).sum(0)
    scaled = rest * scale
    way, size = scaled.copy(), (rest * scaled).sum(0)
    for _ in range(most):
        if (size <= goal).all():
            break
        ahead = turned @ (x @ way) + penalties * way
        step = size / np.maximum((way * ahead).sum(0), 1e-30)
        at, rest = at + step * way, rest - step * ahead
        scaled = rest * scale
        before, size = size, (rest * scaled).sum(0)
        way = scaled + size / np.maximum(before, 1e-30) * way
    return at
