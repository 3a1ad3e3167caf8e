"""Histograms of oriented gradients and a linear classifier: what pictures were classified with before networks. A baseline.

Dalal, Triggs: Histograms of Oriented Gradients for Human Detection, 2005.
"""

from __future__ import annotations

import time
import warnings
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.core.kinds import LearnerOptions, learners
from dapeng.data.draws import permutation
from dapeng.learners.base import Fitted, Inputs, Learner, Target
from dapeng.learners.margins import best_temperature, linear_machine, margins_of, softmax

EPSILON = 1e-6
BLOCK = 2_000
"""Pictures that are described at once."""


@learners
class Hog(LearnerOptions):
    """Oriented gradients of pictures, and a linear support vector machine (regression for numbers).

    Paper: Dalal, Triggs: Histograms of Oriented Gradients for Human Detection, 2005
    Example: `evaluate: {baselines: [constant, hog]}`
    """

    type: Literal["hog"] = "hog"
    fits: ClassVar[tuple[str, ...]] = ("category", "number")
    orientations: int = Field(9, ge=2, le=36)
    cells: int = Field(7, ge=2, le=32)
    """Cells along each side of a picture; fewer on very small ones."""
    rows: int = Field(20_000, ge=10)
    """Most rows that it is fitted on."""

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return bool(_pictures(inputs))

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        names = _pictures(inputs)
        rows = permutation(inputs.rows, seed, 61)[: min(self.rows, max(500, int(seconds * 1_000)))]
        x = self._described(inputs.take(rows), names)
        mean, scale = x.mean(0), 1 / (x.std(0) + EPSILON)
        weights = None if target.weights is None else target.weights[rows]
        model = linear_machine(len(x), x.shape[1], target.classes, seconds / 2, 0.01, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = target.values[rows]
            centre, spread = (0.0, 1.0) if target.classes else (float(y.mean()), float(y.std()) or 1.0)
            model.fit((x - mean) * scale, y if target.classes else (y - centre) / spread, sample_weight=weights)
        learner = HogLearner(self, names, model, target.classes, mean, scale, (centre, spread))
        if target.classes and valid is not None and valid[0].rows:
            learner.temper(valid[0].take(np.arange(min(valid[0].rows, BLOCK))), valid[1].values[:BLOCK])
        return Fitted(learner, time.process_time() - began, f"{x.shape[1]:,} features, {len(rows):,} rows")

    def _described(self, inputs: Inputs, names: list[str]) -> np.ndarray:
        parts = [
            describe(pictures(inputs.matrices[n], inputs.columns[n]), self.orientations, self.cells) for n in names
        ]
        return np.concatenate(parts, 1) if len(parts) > 1 else parts[0]


def _pictures(inputs: Inputs) -> list[str]:
    return [n for n in inputs.matrices if inputs.columns[n].type == "image"]


def pictures(flat: np.ndarray, column: Any) -> np.ndarray:
    """(N, Y, X) grey pictures out of a column's matrix (see `ImageColumn.matrix`: scaled down by a whole step)."""
    channels, height, width = column.shape
    step = max(1, round(max(height, width) / 32))
    shaped = np.asarray(flat, np.float32).reshape(len(flat), channels, height // step, width // step)
    return np.nan_to_num(shaped).mean(1)


def describe(grey: np.ndarray, orientations: int, cells: int) -> np.ndarray:
    """(N, k) histograms of gradient directions of the cells of (N, Y, X) pictures, normalised over blocks of 2 x 2 cells."""
    return np.concatenate([_describe(grey[i : i + BLOCK], orientations, cells) for i in range(0, len(grey), BLOCK)])


def _describe(grey: np.ndarray, orientations: int, cells: int) -> np.ndarray:
    rows, height, width = grey.shape
    down, right = np.gradient(grey, axis=(1, 2)) if min(height, width) > 1 else (np.zeros_like(grey),) * 2
    strength = np.hypot(down, right)
    place = (np.arctan2(down, right) % np.pi) / np.pi * orientations  # without sign: light on dark is dark on light
    low = np.floor(place).astype(np.int64)
    upper = (place - low) * strength
    tall, wide = min(cells, height // 2) or 1, min(cells, width // 2) or 1
    down_pool, right_pool = _pooling(height, tall), _pooling(width, wide)
    histogram = np.zeros((rows, tall, wide, orientations), np.float32)
    for angle in range(orientations):
        votes = np.where(low % orientations == angle, strength - upper, 0) + np.where(
            (low + 1) % orientations == angle, upper, 0
        )
        histogram[..., angle] = down_pool @ votes @ right_pool.T
    if tall < 2 or wide < 2:
        return _normal(histogram.reshape(rows, -1))
    blocks = [histogram[:, i : tall - 1 + i, j : wide - 1 + j] for i in (0, 1) for j in (0, 1)]
    return _normal(np.concatenate(blocks, -1)).reshape(rows, -1)


def _pooling(size: int, cells: int) -> np.ndarray:
    """(cells, size) weights: a pixel votes for its cell and, less, for the nearest neighbour."""
    centres = (np.arange(cells) + 0.5) * size / cells
    far = np.abs(centres[:, None] - (np.arange(size) + 0.5)[None]) / (size / cells)
    return np.maximum(1 - far, 0).astype(np.float32)


def _normal(x: np.ndarray) -> np.ndarray:
    """L2, clipped at 0.2 and again, as in the paper."""
    x = x / (np.linalg.norm(x, axis=-1, keepdims=True) + EPSILON)
    x = np.minimum(x, 0.2)
    return x / (np.linalg.norm(x, axis=-1, keepdims=True) + EPSILON)


class HogLearner(Learner):
    """A linear model over oriented gradients. unit: centre and scale of a number."""

    name = "hog"

    def __init__(
        self,
        options: Hog,
        names: list[str],
        model: Any,
        classes: int,
        mean: np.ndarray,
        scale: np.ndarray,
        unit: tuple[float, float],
    ):
        self.options, self.names, self.model, self.classes = options, names, model, classes
        self.mean, self.scale, self.unit, self.temperature = mean, scale, unit, 1.0

    def _features(self, inputs: Inputs) -> np.ndarray:
        return (self.options._described(inputs, self.names) - self.mean) * self.scale

    def margins(self, inputs: Inputs) -> np.ndarray:
        """(N, A) scores; those of classes that weren't seen never win."""
        return margins_of(self.model, self._features(inputs), self.classes)

    def temper(self, inputs: Inputs, codes: np.ndarray) -> None:
        """The factor of the margins that gives the best log loss (Platt, 1999, one for all classes)."""
        self.temperature = best_temperature(self.margins(inputs), codes)

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        if self.classes:
            return {"probabilities": softmax(self.margins(inputs) * self.temperature).astype(np.float32)}
        found = self.model.predict(self._features(inputs)) * self.unit[1] + self.unit[0]
        return {"mean": found.astype(np.float32)}
