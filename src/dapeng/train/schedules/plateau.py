"""Down when validation no longer gains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from dapeng.core.kinds import ScheduleOptions, schedules


@schedules
class Plateau(ScheduleOptions):
    """The peak, times `gamma` whenever the validation loss has not fallen for `patience` validations.

    Example: `train: {schedule: {type: plateau, patience: 3, gamma: 0.5}, patience: 10}`
    """

    type: Literal["plateau"] = "plateau"
    patience: int = Field(3, ge=1, le=100_000)
    """Validations without gain before the rate falls."""
    gamma: float = Field(0.5, gt=0, lt=1)
    """Factor of each fall."""
    gain: float = Field(1e-4, ge=0, le=1)
    """Least fall of the loss that counts, as a share of it."""
    floor: float = Field(1e-4, ge=0, le=1)
    """Factor below which it doesn't fall."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the run over which the rate rises from 0."""

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        best, stale, found = math.inf, 0, 1.0
        for entry in history:
            loss = float(entry.get("loss", math.inf))
            if loss < best - self.gain * abs(best) or best == math.inf:
                best, stale = loss, 0
            else:
                stale += 1
            if stale >= self.patience:
                found, stale = max(found * self.gamma, self.floor), 0
        return found
