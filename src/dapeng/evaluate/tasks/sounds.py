"""Outputs that are sounds."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.base import Column
from dapeng.columns.quoting import as_texts
from dapeng.core.kinds import tasks
from dapeng.core.spec import Evaluate
from dapeng.evaluate.listeners import Listener, listener_at
from dapeng.evaluate.tasks.base import Prediction, Task, Wrong
from dapeng.metrics.base import View
from dapeng.metrics.sounds import MelDistortion, SoundView, heard_errors


@tasks
class Sounds(Task):
    """Sounds that are made: how far their spectra are from the true ones, and their length."""

    type: Literal["audio"] = "audio"
    headline: ClassVar[str] = "mel_distortion"
    beside: ClassVar[tuple[str, ...]] = ("understood", "misheard", "mel_distortion", "seconds_off")
    floor: ClassVar[str] = "silence"

    def first(self, column: Column, applying: Collection[str]) -> str:
        """Whether a judge understands it, where there is one."""
        return "understood" if "understood" in applying else self.headline

    def judge(self, path: Path) -> Listener:
        return listener_at(str(path))

    def view(self, column: Column, prediction: Prediction, values: np.ndarray) -> SoundView:
        said = column.sounds(dict(prediction))  # type: ignore[attr-defined]
        made, rate = bool(np.asarray(prediction["length"]).any()), column.rate  # type: ignore[attr-defined]
        wanted, judge = [np.asarray(v, np.int16) for v in values], _judge(column)
        if judge is None or "asked" not in prediction or not made:
            return SoundView(said, wanted, rate, made)
        asked = as_texts(prediction["asked"]).tolist()
        return SoundView(said, wanted, rate, made, asked, judge.hear(said, rate), judge.hear(wanted, rate))

    def details(self, options: Evaluate, name: str, column: Column, view: View, seed: int) -> dict[str, Any]:
        assert isinstance(view, SoundView)
        said, true = view.seconds.mean(0).tolist() if view.rows else (0.0, 0.0)
        found: dict[str, Any] = {"sounds": {"rate": view.rate, "seconds_made": said, "seconds_true": true}}
        judge = _judge(column)
        if judge is not None and len(view.heard):
            right = [heard_errors(view.asked, h)[:, 0] == 0 for h in (view.heard, view.real)]
            found["judge"] = judge.name
            found["recognised"] = {n: float(r.mean()) for n, r in zip(("made", "real"), right)}
        return found

    def remark(self, found: dict[str, Any]) -> str:
        return " ".join(w for w in (_heard_words(found), _pace_words(found.get("pace", {}))) if w)

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
        heard = {"heard": np.array(view.heard, object)} if len(view.heard) else {}
        return {"mel_distortion": view.distortions, **heard} if view.made else {}


def _judge(column: Any) -> Listener | None:
    return None if column.judge is None else listener_at(str(column.judge.resolve()))


def _heard_words(found: dict[str, Any]) -> str:
    right = found.get("recognised")
    if right is None:
        return "No judge listens: spectra alone are compared (say judge: RUN of the output)."
    return f"{found['judge']} hears what was asked in {right['made']:.1%} of the sounds that were made and in {right['real']:.1%} of the true ones."


def _pace_words(pace: dict[str, Any]) -> str:
    if pace.get("of") != "made":
        return ""
    threads = f"{pace['threads']} thread{'s' * (pace['threads'] > 1)}"
    return f"Real-time factor {pace['real_time_factor']:.2g}: so many seconds for a second of sound, one row at a time on {threads}."
