"""Ridge and logistic regression whose weights of some columns have a given sign: predictions then only rise, or only fall, with them.

Byrd, Lu, Nocedal, Zhu: A Limited Memory Algorithm for Bound Constrained Optimization, 1995 (L-BFGS-B).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize

from dapeng.learners.base import Target

ITERATIONS = 500


def fit_signed(x: Any, target: Target, strength: float, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias as the other linear fits give them: (1, k) and (1,) for numbers, (2, k) and (2,) for two classes.

    x: (N, k). strength: inverse regularisation. signs: (k,) 1 and -1 for weights that are at least, or at most, 0.
    """
    weights = np.ones(len(target.values)) if target.weights is None else target.weights
    y = np.asarray(target.values, np.float64)
    middle, spread = (0.0, 1.0) if target.classes else (float(np.average(y, weights=weights)), float(y.std()) or 1.0)
    x = sp.csr_matrix(x, dtype=np.float64) if sp.issparse(x) else np.asarray(x, np.float64)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        found = x @ w[:-1] + w[-1]
        if target.classes:
            each, slope = np.logaddexp(0, found) - y * found, 1 / (1 + np.exp(-np.clip(found, -60, 60))) - y
        else:
            slope = found - (y - middle) / spread
            each = slope**2 / 2
        slope = slope * weights
        gradient = np.append(x.T @ slope + w[:-1] / strength, slope.sum())
        return float(each @ weights + w[:-1] @ w[:-1] / (2 * strength)), gradient

    bounds = [(0, None) if s > 0 else (None, 0) if s < 0 else (None, None) for s in signs]
    start = np.zeros(x.shape[1] + 1)
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)], options={"maxiter": ITERATIONS}
    ).x
    if target.classes:
        return np.stack([-found[:-1], found[:-1]]).astype(np.float32) / 2, np.array(
            [-found[-1], found[-1]], np.float32
        ) / 2
    return (found[None, :-1] * spread).astype(np.float32), np.array([found[-1] * spread + middle], np.float32)
