"""Members with predictions of a known quality, for tests of the verdict and the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from dapeng.columns.category import Category
from dapeng.columns.number import Number
from dapeng.core.spec import Evaluate
from dapeng.evaluate.verdict import Judged, judge


def labels_column(labels: list[str]) -> Any:
    state = {"labels": labels, "counts": [10] * len(labels), "missing": 0}
    return Category().fitted("y", state, True)


def number_column() -> Any:
    state = {"mean": 0.0, "std": 1.0, "low": 0.0, "high": 1.0, "missing": 0, "quantiles": [0.0, 1.0]}
    return Number().fitted("y", state, True)


def probabilities(codes: np.ndarray, classes: int, skill: float, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Predictions that are right more often the larger the skill."""
    random = np.random.default_rng(seed)
    margins = random.normal(size=(len(codes), classes))
    margins[np.arange(len(codes)), codes] += skill
    e = np.exp(margins)
    return {"y": {"probabilities": (e / e.sum(1, keepdims=True)).astype(np.float32)}}


def constant(rows: int, classes: int) -> dict[str, dict[str, np.ndarray]]:
    spread = np.full(classes, 0.9 / classes)
    spread[0] += 0.1
    return {"y": {"probabilities": np.tile(spread.astype(np.float32), (rows, 1))}}


def judged_classes(
    product: float, linear: float, rows: int = 600, labels: list[str] | None = None, **options: Any
) -> dict[str, Any]:
    """metrics.json of a product and a linear model of such skills."""
    labels = labels or ["a", "b", "c"]
    codes = np.random.default_rng(0).integers(0, len(labels), rows)
    members = [
        Judged("product", "product", probabilities(codes, len(labels), product, 1), 1.0, {"y": 0.0}),
        Judged("network", "network", probabilities(codes, len(labels), product, 1), 1.0, {"y": 1.0}),
        Judged("linear", "learner", probabilities(codes, len(labels), linear, 2), 0.1, {"y": 0.0}),
        Judged("constant", "baseline", constant(rows, len(labels)), 0.0, {}),
    ]
    truth = {"y": (codes, np.ones(rows, bool))}
    return judge(Evaluate(**options), {"y": labels_column(labels)}, truth, members, "a made-up test", 0)
