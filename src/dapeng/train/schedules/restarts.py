"""Cosines one after the other. Loshchilov, Hutter: SGDR, 2016 (https://arxiv.org/abs/1608.03983)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from dapeng.core.kinds import ScheduleOptions, schedules


@schedules
class Restarts(ScheduleOptions):
    """Half a cosine from the peak down to `floor`, again and again, each `growth` times as long as the one before.

    Paper: Loshchilov and Hutter, 2016, https://arxiv.org/abs/1608.03983
    Example: `train: {schedule: {type: restarts, cycles: 3, growth: 2}}`
    """

    type: Literal["restarts"] = "restarts"
    cycles: int = Field(3, ge=1, le=1000)
    growth: float = Field(2.0, ge=1, le=10)
    """Length of a cycle over that of the one before."""
    floor: float = Field(0.0, ge=0, le=1)
    """Factor at the end of a cycle."""

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        lengths = [self.growth**i for i in range(self.cycles)]
        at, total = min(progress, 1.0) * sum(lengths), 0.0
        for number, length in enumerate(lengths):
            if at < total + length or number == self.cycles - 1:
                within = min((at - total) / length, 1.0)
                return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * within))
            total += length
        return self.floor
