"""Outputs that say whether something is wrong with a picture, and where."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.anomaly import is_faulty
from dapeng.columns.base import Column
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.tasks.base import Prediction, Task, Wrong
from dapeng.metrics.anomalies import AnomalyView
from dapeng.metrics.base import View

BARS = 30


@tasks
class Anomalies(Task):
    """Anomaly detection: do faulty pictures score higher than good ones, do faulty pixels, and what does the threshold miss?"""

    type: Literal["anomaly"] = "anomaly"
    headline: ClassVar[str] = "image_auroc"
    beside: ClassVar[tuple[str, ...]] = ("image_auroc", "pixel_auroc", "image_auprc")
    floor: ClassVar[str] = "the same score"
    decides: ClassVar[bool] = True

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> AnomalyView:
        score = np.asarray(prediction["score"])
        return AnomalyView(score, np.asarray(prediction["heat"]), np.asarray(values), column.cut)

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, AnomalyView)
        edges = np.linspace(view.score.min(), view.score.max() + 1e-9, BARS + 1)
        bars = {
            n: np.histogram(view.score[f], edges)[0].tolist()
            for n, f in (("good", ~view.faulty), ("faulty", view.faulty))
        }
        frame = list(column.frame)  # type: ignore[attr-defined]
        return {"frame": frame, "called_from": column.cut, "scores": {"edges": edges.tolist(), **bars}}

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        """Rows on the wrong side of the threshold, the farthest from it first."""
        cut = found.get("called_from")
        if cut is None:
            return [], 0
        scores = np.asarray(tensors["score"], np.float32)
        frame = (len(scores), *found["frame"])
        faulty, said = is_faulty(np.asarray(tensors["truth"]).reshape(frame)), scores >= cut
        wrong = np.flatnonzero(faulty != said)
        order = wrong[np.argsort(-np.abs(scores[wrong] - cut), kind="stable")[:count]]
        words = ("good", "faulty")
        made = [
            Wrong(
                int(rows[i]),
                words[int(faulty[i])],
                words[int(said[i])],
                float(scores[i]),
                f"score {scores[i]:.3g}, threshold {cut:.3g}",
            )
            for i in order
        ]
        return made, len(wrong)

    def which(self, shown: list[Wrong], every: int, rows: int) -> str:
        return f"{every:,} of {rows:,} test rows are on the wrong side of the threshold. These are farthest from it."
