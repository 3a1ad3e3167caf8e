"""Boxes around what stands out from the background: Otsu's threshold, connected parts, and a linear classifier of their size and colour.

Otsu: A Threshold Selection Method from Gray-Level Histograms, 1979. What an engineer would try before a network.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.average_precision import Found, overlaps
from dapeng.columns.boxes import true_in
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target
from dapeng.learners.placed import laid_out, pictures_of
from dapeng.learners.threshold import otsu

LEAST_PIXELS = 12
MOST_PARTS = 200


@learners
class Blobs(LearnerOptions):
    """Thresholds how far each pixel is from the background's colour, takes connected parts as boxes, and labels them by size and colour.

    Example: `evaluate: {baselines: [usual_boxes, blobs]}`
    """

    type: Literal["blobs"] = "blobs"
    fits: ClassVar[tuple[str, ...]] = ("boxes",)
    rows: int = Field(300, ge=8)
    """Most pictures that it is fitted on."""

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return target.column.of in inputs.cells

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        from sklearn.linear_model import LogisticRegression

        began = time.process_time()
        name, column = str(target.column.of), target.column
        some = np.arange(min(inputs.rows, self.rows))
        described, labels = [], []
        background = len(column.labels)  # type: ignore[attr-defined]
        for (pixels, affine), (boxes, codes) in zip(pictures_of(inputs.take(some), name), true_in(target.values[some])):
            parts, facts = parts_of(pixels, affine)
            over = overlaps(parts, boxes)
            best = over.argmax(1) if len(boxes) else np.zeros(len(parts), int)
            hit = over.max(1) >= 0.5 if len(boxes) else np.zeros(len(parts), bool)
            described.append(facts)
            labels.append(np.where(hit, codes[best] if len(boxes) else background, background))
        x, y = np.concatenate(described), np.concatenate(labels)
        if len(np.unique(y)) < 2:
            raise ValueError("no connected part of a picture is one of its boxes")
        mean, scale = x.mean(0), x.std(0) + 1e-6
        model = LogisticRegression(C=1.0, max_iter=500).fit((x - mean) / scale, y)
        learner = BlobsLearner(name, column, model, mean, scale)
        return Fitted(learner, time.process_time() - began, f"{len(x):,} parts")


def parts_of(pixels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (K, 4) of connected parts in pixels of the picture as it came, and what is known of each (K, F)."""
    from scipy import ndimage

    x = pixels.astype(np.float32)
    background = np.median(x.reshape(len(x), -1), 1) if len(x) == 1 else _brightest(x)
    far = np.sqrt(((x - background[:, None, None]) ** 2).sum(0))
    there = ndimage.binary_fill_holes(far > otsu(far))
    labelled: Any = ndimage.label(there)
    numbers = labelled[0]
    boxes, facts = [], []
    for number, (down, across) in enumerate(ndimage.find_objects(numbers)[:MOST_PARTS], 1):
        inside = numbers[down, across] == number
        if inside.sum() < LEAST_PIXELS:
            continue
        high, wide = inside.shape
        colour = x[:, down, across][:, inside].mean(1)
        boxes.append([across.start, down.start, across.stop, down.stop])
        facts.append([np.log(wide), np.log(high), np.log(wide) ** 2, np.log(high) ** 2, inside.mean(), *colour])
    found = np.array(boxes, np.float64).reshape(-1, 2, 2)
    back = (found - affine[:, 2]) / np.diag(affine[:, :2])
    return back.reshape(-1, 4), np.array(facts, np.float64).reshape(-1, 5 + len(x))


def _brightest(x: np.ndarray) -> np.ndarray:
    """(C,) the colour of the brighter tenth, which is the light of a microscope, or a page."""
    flat = x.reshape(len(x), -1)
    sums = flat.sum(0)
    return flat[:, sums >= np.quantile(sums, 0.9)].mean(1)


class BlobsLearner(Learner):
    """A threshold, and a classifier of connected parts."""

    name = "blobs"

    def __init__(self, picture: str, column: Any, model: Any, mean: np.ndarray, scale: np.ndarray):
        self.picture, self.column, self.model, self.mean, self.scale = picture, column, model, mean, scale

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        return laid_out([self._found(*p) for p in pictures_of(inputs, self.picture)], self.column.max_boxes)

    def _found(self, pixels: np.ndarray, affine: np.ndarray) -> Found:
        boxes, facts = parts_of(pixels, affine)
        if not len(boxes):
            return boxes, np.empty(0), np.empty(0, np.int64)
        chances = self.model.predict_proba((facts - self.mean) / self.scale)
        labels = self.model.classes_
        known = np.flatnonzero(labels < len(self.column.labels))
        best = known[chances[:, known].argmax(1)]
        return boxes, chances[np.arange(len(boxes)), best], labels[best].astype(np.int64)
