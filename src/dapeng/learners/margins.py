"""From the margins of a large-margin classifier to probabilities.

Platt: Probabilistic Outputs for Support Vector Machines, 1999; here with one temperature for all classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NEVER = -20.0
"""Margin of a class that the training rows lack."""
SECONDS = 4e-9
"""Of liblinear's coordinate descent, for one feature of one row, class and pass."""


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def best_temperature(margins: np.ndarray, codes: np.ndarray) -> float:
    """The factor of the margins that gives the best log loss."""
    factors = np.geomspace(0.1, 20, 40)
    losses = [-np.log(softmax(margins * f)[np.arange(len(codes)), codes] + 1e-12).mean() for f in factors]
    return float(factors[int(np.argmin(losses))])


def margins_of(model: Any, x: Any, classes: int) -> np.ndarray:
    """(N, A) scores of a scikit-learn classifier; those of classes that weren't seen never win."""
    found = model.decision_function(x)
    out = np.full((x.shape[0], classes), NEVER)
    out[:, model.classes_] = np.stack([-found, found], 1) / 2 if found.ndim == 1 else found
    return out


def linear_machine(rows: int, features: int, classes: int, seconds: float, c: float, seed: int) -> Any:
    """A linear support vector machine (of a number where classes is 0) that takes about so long at most.

    Coordinate descent in the dual has passes of a known cost; Newton's method, scikit-learn's other choice, has not.
    """
    from sklearn.svm import LinearSVC, LinearSVR

    several = 1 if classes <= 2 else classes
    passes = int(seconds / (rows * features * several * SECONDS))
    make: Any = LinearSVC if classes else LinearSVR
    return make(
        C=c,
        loss="hinge" if classes else "epsilon_insensitive",
        dual=True,
        max_iter=max(3, min(passes, 300)),
        random_state=seed,
    )
