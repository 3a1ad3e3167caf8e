"""Outputs that say what each pixel of a picture shows."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.columns.mask import confusions, dice, mean_dice
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.tasks.base import Prediction, Task, Wrong
from dapeng.metrics.base import View
from dapeng.metrics.masks import MaskView


@tasks
class Masks(Task):
    """Segmentation: Dice and IoU over all pixels, outlines, then every label by itself."""

    type: Literal["mask"] = "mask"
    headline: ClassVar[str] = "dice"
    beside: ClassVar[tuple[str, ...]] = ("dice", "iou", "pixel_accuracy")
    floor: ClassVar[str] = "one label"

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> MaskView:
        labels, background = len(column.labels), column.background  # type: ignore[attr-defined]
        spacing = column.spacing(prediction)  # type: ignore[attr-defined]
        return MaskView(np.asarray(prediction["codes"]), values, labels, background, spacing)

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, MaskView)
        labels: list[str] = list(column.labels)  # type: ignore[attr-defined]
        both = view.both.sum(0)
        found, every = dice(both[None])[0], max(both.sum(), 1)
        rows = []
        for code, label in enumerate(labels):
            apart = view.apart[:, code]
            rows.append(
                {
                    "label": label,
                    "share": float(both[code].sum() / every),
                    "said": float(both[:, code].sum() / every),
                    "dice": _number(found[code]),
                    "iou": _number(found[code] / (2 - found[code])),
                    "hd95": _number(float(np.nanmean(apart)) if not np.isnan(apart).all() else np.nan),
                }
            )
        frame = list(column.frame)  # type: ignore[attr-defined]
        unit = column.unit  # type: ignore[attr-defined]
        return {
            "labels": labels,
            "background": labels[view.background],
            "frame": frame,
            "unit": unit,
            "masks_by_label": rows,
        }

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        """Pictures with the least Dice."""
        labels = found["labels"]
        background = labels.index(found["background"])
        both = confusions(np.asarray(tensors["codes"]), np.asarray(tensors["truth"]), len(labels))
        each = mean_dice(both, background)
        order = np.argsort(each, kind="stable")[:count]
        said, true = both.sum(1), both.sum(2)
        return [
            Wrong(
                int(rows[i]),
                _shares(labels, true[i]),
                _shares(labels, said[i]),
                1 - float(each[i]),
                f"Dice {each[i]:.3f}",
            )
            for i in order
        ], len(rows)

    def which(self, shown: list[Wrong], every: int, rows: int) -> str:
        return f"the {len(shown)} of {rows:,} test pictures with the least Dice."


def _shares(labels: list[str], pixels: np.ndarray) -> str:
    every = max(pixels.sum(), 1)
    return ", ".join(f"{p / every:.0%} {label}" for label, p in zip(labels, pixels) if p)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
