"""The same learning rate throughout, after an optional warm-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from dapeng.core.kinds import ScheduleOptions, schedules


@schedules
class Constant(ScheduleOptions):
    """The peak learning rate throughout.

    Example: `train: {schedule: constant}`
    """

    type: Literal["constant"] = "constant"
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the run over which the rate rises from 0."""

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        return min(1.0, progress / self.warmup) if self.warmup else 1.0
