"""A short linear rise, then half a cosine down. Loshchilov, Hutter, 2016 (https://arxiv.org/abs/1608.03983)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from dapeng.core.kinds import ScheduleOptions, schedules


@schedules
class Cosine(ScheduleOptions):
    """Warm-up, then half a cosine from the peak down to `floor`.

    Paper: Loshchilov and Hutter, 2016, https://arxiv.org/abs/1608.03983
    Example: `train: {schedule: {type: cosine, warmup: 0.05}}`
    """

    type: Literal["cosine"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the run over which the rate rises from 0."""
    floor: float = Field(0.0, ge=0, le=1)
    """Factor at the end."""

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        rest = (min(progress, 1.0) - self.warmup) / (1 - self.warmup)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * rest))
