"""Outputs that are drawn pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.console import warn
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.judges import Judge, judge_at
from dapeng.evaluate.nearest import nearest_pictures
from dapeng.evaluate.tasks.base import Prediction, Task
from dapeng.metrics.base import View
from dapeng.metrics.images import ImageView

SEARCHED = 200
"""Drawn pictures whose nearest training pictures are looked for, and as many real ones."""


@tasks
class Images(Task):
    """Drawing: how far drawn pictures are from real ones as a crowd, and whether a named judge sees in them what was asked."""

    type: Literal["image"] = "image"
    headline: ClassVar[str] = "fid"
    beside: ClassVar[tuple[str, ...]] = ("fid", "kid", "recognised", "recognised_of_real", "fid_pixels")
    floor: ClassVar[str] = "the mean picture"

    def judge(self, path: Path) -> Judge:
        return judge_at(str(path))

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> ImageView:
        drawn = np.asarray(prediction["pixels"]).round().clip(0, 255).astype(np.uint8)
        shape: tuple[int, ...] = column.shape  # type: ignore[attr-defined]
        drawn, wanted = (p.reshape(-1, *shape) for p in (drawn, np.asarray(values)))
        judge = _judge(column)
        if judge is None:
            return ImageView(drawn, wanted)
        asked = prediction.get("asked")
        return ImageView(
            drawn, wanted, judge.look(drawn), judge.look(wanted), None if asked is None else np.asarray(asked)
        )

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, ImageView)
        judge = _judge(column)
        found: dict[str, Any] = {"shape": list(view.wanted.shape[1:])}
        if judge is None:
            return found
        found["judge"] = judge.name
        if view.right is not None:
            found["recognised"] = {n: float(r.mean()) for n, r in zip(("drawn", "real"), view.right)}
        return found

    def remark(self, found: dict[str, Any]) -> str:
        if "judge" not in found:
            return "Without a judge, pixels alone are compared (judge: RUN of the output gives FID by its features)."
        said = f"FID and KID are by the features of {found['judge']}"
        right = found.get("recognised")
        if right is None:
            return f"{said}."
        return f"{said}, which sees what was asked in {right['drawn']:.1%} of the drawn pictures and {right['real']:.1%} of the real ones."

    def by_heart(
        self, column: Column, prediction: Prediction, values: np.ndarray, stored: np.ndarray, trained: np.ndarray
    ) -> Any:
        return nearest_pictures(np.asarray(prediction["pixels"]), np.asarray(values), stored, trained, SEARCHED)


def _judge(column: Any) -> Judge | None:
    if column.judge is None:
        return None
    if not column.judge.is_dir():
        warn(f"{column.name}: its judge {column.judge} is gone: pixels alone are compared")
        return None
    return judge_at(str(column.judge.resolve()))
