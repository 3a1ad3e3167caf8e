"""How far the patches of a picture, as their pixels are, lie from the closest patch of good pictures: what a memory of features must beat."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.anomaly import is_faulty
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target
from dapeng.learners.placed import pictures_of

POOL = 60_000
"""Patches of good pictures that are looked at at random, to be remembered."""
MOST_NUMBERS = 32
"""Principal components of a patch."""


@learners
class NearestPatch(LearnerOptions):
    """Distances of raw patches to the closest ones of good pictures (principal components, nearest neighbour).

    Example: `evaluate: {baselines: [nearest_patch]}`
    """

    type: Literal["nearest_patch"] = "nearest_patch"
    fits: ClassVar[tuple[str, ...]] = ("anomaly",)
    side: int = Field(8, ge=2, le=64)
    """Side of a patch, in pixels as the picture is read."""
    step: int = Field(4, ge=1, le=64)
    """Pixels from one patch to the next."""
    size: int = Field(5_000, ge=1, le=100_000)
    """Patches that are remembered, drawn at random."""

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return target.column.of in inputs.cells

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        name, draw = str(target.column.of), np.random.Generator(np.random.Philox(seed))
        good = inputs.take(np.flatnonzero(~is_faulty(target.values)))
        each = max(1, POOL // max(good.rows, 1))
        parts = []
        for pixels, _ in pictures_of(good, name):
            found = self.patches(pixels)[0]
            parts.append(found[draw.permutation(len(found))[:each]])
        pool = np.concatenate(parts)
        middle = pool.mean(0)
        _, _, turned = np.linalg.svd(pool[:: max(1, len(pool) // 10_000)] - middle, full_matrices=False)
        turn = turned[:MOST_NUMBERS].T
        memory = ((pool - middle) @ turn)[draw.permutation(len(pool))[: self.size]]
        learner = PatchLearner(self, name, target.column, middle, turn, memory)
        return Fitted(learner, time.process_time() - began, f"{len(memory):,} patches")

    def patches(self, pixels: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """(P, side * side * C) of (C, Y, X), from 0 to 1, and their grid."""
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (self.side, self.side), (1, 2))
        windows = windows[:, :: self.step, :: self.step]
        grid = (windows.shape[1], windows.shape[2])
        return windows.transpose(1, 2, 0, 3, 4).reshape(grid[0] * grid[1], -1).astype(np.float32) / 255, grid


class PatchLearner(Learner):
    """score: the largest distance of a patch; heat: those of all, as a picture; as the column has them."""

    name = "nearest_patch"

    def __init__(
        self, o: NearestPatch, picture: str, column: Any, middle: np.ndarray, turn: np.ndarray, memory: np.ndarray
    ):
        self.o, self.picture, self.column = o, picture, column
        self.middle, self.turn, self.memory = middle, turn, memory.astype(np.float32)
        self.squares = (self.memory**2).sum(1)

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        from scipy import ndimage

        heat, scores, affines = [], [], []
        for pixels, affine in pictures_of(inputs, self.picture):
            patches, grid = self.o.patches(pixels)
            x = ((patches - self.middle) @ self.turn).astype(np.float32)
            away = (self.squares - 2 * x @ self.memory.T).min(1) + (x**2).sum(1)
            far = np.sqrt(np.maximum(away, 0)).reshape(grid)
            heat.append(self.column.kept(self._spread(far, pixels.shape[1:], ndimage)))
            scores.append(far.max())
            affines.append(self.column.placing(affine))
        every = {"score": np.array(scores), "heat": np.stack(heat), "affine": np.stack(affines)}
        return {n: a.astype(np.float32) for n, a in every.items()}

    def _spread(self, far: np.ndarray, size: tuple[int, ...], ndimage: Any) -> np.ndarray:
        """(Y, X): each pixel has the distance of the patches around it, between their middles."""
        at = [(np.arange(n) - (self.o.side - 1) / 2) / self.o.step for n in size]
        return ndimage.map_coordinates(far, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
