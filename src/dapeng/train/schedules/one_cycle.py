"""Up, then down to almost nothing. Smith, Topin: Super-Convergence, 2017 (https://arxiv.org/abs/1708.07120)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from dapeng.core.kinds import ScheduleOptions, schedules


@schedules
class OneCycle(ScheduleOptions):
    """From a 25th of the peak up to it by half a cosine, then down to a ten-thousandth.

    Paper: Smith and Topin, 2017, https://arxiv.org/abs/1708.07120
    Example: `train: {schedule: {type: one_cycle, warmup: 0.3}}`
    """

    type: Literal["one_cycle"] = "one_cycle"
    warmup: float = Field(0.3, gt=0, lt=1)
    """Share of the run over which the rate rises."""
    start: float = Field(0.04, ge=0, le=1)
    """Factor at the beginning."""
    end: float = Field(1e-4, ge=0, le=1)
    """Factor at the end."""

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        if progress < self.warmup:
            return _between(self.start, 1.0, progress / self.warmup)
        return _between(1.0, self.end, (min(progress, 1.0) - self.warmup) / (1 - self.warmup))


def _between(a: float, b: float, share: float) -> float:
    return b + (a - b) * 0.5 * (1 + math.cos(math.pi * share))
