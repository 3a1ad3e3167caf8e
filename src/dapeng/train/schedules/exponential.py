"""Down by the same factor over every stretch of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from dapeng.core.kinds import ScheduleOptions, schedules


@schedules
class Exponential(ScheduleOptions):
    """From the peak down to `floor` by equal factors.

    Example: `train: {schedule: {type: exponential, floor: 0.01}}`
    """

    type: Literal["exponential"] = "exponential"
    floor: float = Field(0.01, gt=0, le=1)
    """Factor at the end."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the run over which the rate rises from 0."""

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        return self.floor ** ((min(progress, 1.0) - self.warmup) / (1 - self.warmup))
