"""Up in a straight line, down in a straight line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from dapeng.core.kinds import ScheduleOptions, schedules


@schedules
class Linear(ScheduleOptions):
    """Warm-up, then a straight line down to `floor`; usual in fine-tuning.

    Paper: Devlin et al., 2018, https://arxiv.org/abs/1810.04805
    Example: `train: {schedule: {type: linear, warmup: 0.1}}`
    """

    type: Literal["linear"] = "linear"
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the run over which the rate rises from 0."""
    floor: float = Field(0.0, ge=0, le=1)
    """Factor at the end."""

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        return 1 - (1 - self.floor) * (min(progress, 1.0) - self.warmup) / (1 - self.warmup)
