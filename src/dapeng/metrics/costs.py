"""Where to put the threshold, and what mistakes cost.

With a matrix of costs the decision that costs least follows from the probabilities alone (Elkan: The Foundations of
Cost-Sensitive Learning, 2001); nothing is fitted. Without one, the threshold of the best F1 is looked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dapeng.metrics.base import ClassView, Drawn


def cheapest(probabilities: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """(N,) the class whose expected cost is least. costs: (A, A), rows true, columns said."""
    return (probabilities @ costs).argmin(1)


def cost_of(codes: np.ndarray, said: np.ndarray, costs: np.ndarray) -> float:
    """Mean cost of a row."""
    return float(costs[codes, said].mean())


def by_costs(view: ClassView, costs: np.ndarray) -> dict[str, Any]:
    """What the likeliest class costs a row, what the cheapest decision costs, and for two classes its threshold."""
    decided = cheapest(view.probabilities, costs)
    found: dict[str, Any] = {
        "by": "costs",
        "cost_likeliest": cost_of(view.codes, view.predicted, costs),
        "cost_cheapest": cost_of(view.codes, decided, costs),
        "accuracy": float((decided == view.codes).mean()),
    }
    if view.classes == 2:
        yes, no = view.positive, 1 - view.positive
        false_alarm, missed = costs[no, yes] - costs[no, no], costs[yes, no] - costs[yes, yes]
        if false_alarm + missed > 0:
            found["value"] = float(np.clip(false_alarm / (false_alarm + missed), 0, 1))
            found |= at_threshold(view, found["value"])
    return found


def by_f1(view: ClassView) -> dict[str, Any]:
    """The threshold of the positive class with the best F1. It is chosen on these rows, so it flatters a little."""
    right, wrong = (c[0] for c in Drawn(view, np.ones((1, view.rows))).curve(view.positive))
    scores = 2 * right / np.maximum(right[-1] + right + wrong, 1e-12)
    order, _, ends = view.order(view.positive)
    found = view.probabilities[order[ends], view.positive]
    best = int(scores.argmax())
    below = found[best + 1] if best + 1 < len(found) else 0.0
    value = float((found[best] + below) / 2)  # halfway to the next score: not on the edge of a row
    return {"by": "f1", "value": value, **at_threshold(view, value)}


def at_threshold(view: ClassView, threshold: float) -> dict[str, float]:
    """Precision, recall and F1 of the positive class where everything from this probability on is said to be positive."""
    said = view.probabilities[:, view.positive] >= threshold
    of_it = view.codes == view.positive
    hits = float((said & of_it).sum())
    every, true = float(said.sum()), float(of_it.sum())
    return {
        "precision": hits / every if every else 0.0,
        "recall": hits / true if true else 0.0,
        "f1": 2 * hits / (every + true) if every + true else 0.0,
    }
