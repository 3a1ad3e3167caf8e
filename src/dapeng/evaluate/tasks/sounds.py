"""Outputs that are sounds."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.tasks.base import Prediction, Task, Wrong
from dapeng.metrics.base import View
from dapeng.metrics.sounds import MelDistortion, SoundView


@tasks
class Sounds(Task):
    """Sounds that are made: how far their spectra are from the true ones, and their length."""

    type: Literal["audio"] = "audio"
    headline: ClassVar[str] = "mel_distortion"
    beside: ClassVar[tuple[str, ...]] = ("mel_distortion", "seconds_off")
    floor: ClassVar[str] = "silence"

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> SoundView:
        said = column.sounds(dict(prediction))  # type: ignore[attr-defined]
        made = bool(np.asarray(prediction["length"]).any())
        return SoundView(said, [np.asarray(v, np.int16) for v in values], column.rate, made)  # type: ignore[attr-defined]

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, SoundView)
        said, true = view.seconds.mean(0).tolist() if view.rows else (0.0, 0.0)
        return {"sounds": {"rate": view.rate, "seconds_made": said, "seconds_true": true}}

    def worst(
        self, found: dict[str, Any], rows: np.ndarray, tensors: Prediction, count: int
    ) -> tuple[list[Wrong], int]:
        """Sounds that are furthest from the true ones."""
        if MelDistortion().type not in tensors:
            return [], 0
        apart = np.asarray(tensors["mel_distortion"], np.float64)
        known = np.flatnonzero(~np.isnan(apart))
        order = known[np.argsort(-apart[known], kind="stable")][:count]
        rate = found["sounds"]["rate"]
        lengths = np.asarray(tensors["length"], np.float64) / rate
        return [
            Wrong(
                int(rows[i]),
                f"{len(tensors['truth'][i]) / rate:.2f} s",
                f"{lengths[i]:.2f} s",
                float(apart[i]),
                f"{apart[i]:.1f} dB",
            )
            for i in order
        ], len(rows)

    def which(self, shown: list[Wrong], every: int, rows: int) -> str:
        return f"the {len(shown)} of {rows:,} test sounds that are furthest from the true ones."

    def kept(self, column: Column, prediction: Prediction, values: np.ndarray) -> dict[str, np.ndarray]:
        view = self.view(column, prediction, values)
        return {"mel_distortion": view.distortions} if view.made else {}
