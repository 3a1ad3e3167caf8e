"""A threshold on how bright each pixel is, chosen picture by picture by Otsu's rule: segmentation without learning, nearly.

Otsu: A Threshold Selection Method from Gray-Level Histograms, 1979 (https://doi.org/10.1109/TSMC.1979.4310076).
"""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dapeng.columns.mask import VOID
from dapeng.core.kinds import LearnerOptions, learners
from dapeng.learners.base import Fitted, Inputs, Learner, Target
from dapeng.learners.placed import pictures_of
from dapeng.learners.threshold import otsu

WIDTHS = (0.0, 1.0, 2.0, 4.0)
"""Deviations in pixels of the blurs that are tried."""


@learners
class Otsu(LearnerOptions):
    """Cuts each picture, blurred as was best in training, at Otsu's threshold; both sides get the label that they mostly have in training.

    Example: `evaluate: {baselines: [one_label, otsu]}`
    """

    type: Literal["otsu"] = "otsu"
    fits: ClassVar[tuple[str, ...]] = ("mask",)
    rows: int = Field(50, ge=1)
    """Most pictures that it is fitted on."""

    def reads(self, inputs: Inputs, target: Target) -> bool:
        return target.column.of in inputs.cells

    def fit(
        self, inputs: Inputs, target: Target, valid: tuple[Inputs, Target] | None, seconds: float, seed: int
    ) -> Fitted:
        began = time.process_time()
        column, name = target.column, str(target.column.of)
        labels = len(column.labels)  # type: ignore[attr-defined]
        some = np.arange(min(inputs.rows, self.rows))
        counts = np.zeros((len(WIDTHS), 2, labels))
        for (pixels, _), wanted in zip(pictures_of(inputs.take(some), name), target.values[some]):
            wanted = np.asarray(wanted).reshape(pixels.shape[1:])
            for i, width in enumerate(WIDTHS):
                bright = _bright(pixels, width)
                for side in (0, 1):
                    true = wanted[(bright == side) & (wanted != VOID)]
                    counts[i, side] += np.bincount(true, minlength=labels)[:labels]
        best = int(counts.max(2).sum(1).argmax())
        learner = OtsuLearner(name, column, WIDTHS[best], counts[best].argmax(1))
        return Fitted(learner, time.process_time() - began, f"blur {WIDTHS[best]:g}")


def _bright(pixels: np.ndarray, width: float) -> np.ndarray:
    """(Y, X) whether each pixel of (C, Y, X) is above the threshold."""
    from scipy import ndimage

    grey = pixels.astype(np.float32).mean(0)
    grey = ndimage.gaussian_filter(grey, width) if width else grey
    return grey > otsu(grey)


class OtsuLearner(Learner):
    """codes: of what is below and what is above the threshold."""

    name = "otsu"

    def __init__(self, picture: str, column: Any, width: float, codes: np.ndarray):
        self.picture, self.column, self.width, self.codes = picture, column, width, codes

    def predict(self, inputs: Inputs) -> dict[str, np.ndarray]:
        each = [(self.codes[_bright(p, self.width).astype(int)], a) for p, a in pictures_of(inputs, self.picture)]
        return said_of_masks([c for c, _ in each], [a for _, a in each], len(self.column.labels))


def said_of_masks(codes: list[np.ndarray], affine: list[np.ndarray], labels: int) -> dict[str, np.ndarray]:
    """Label pictures in the layout of what a network says."""
    every = np.stack(codes).astype(np.uint8)
    shares = np.stack([(every == c).mean((1, 2)) for c in range(labels)], 1).astype(np.float32)
    return {"codes": every, "shares": shares, "affine": np.stack(affine).astype(np.float32)}
