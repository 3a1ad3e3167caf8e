"""Down by a factor at given points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from dapeng.core.kinds import ScheduleOptions, schedules


@schedules
class Step(ScheduleOptions):
    """The peak, times `gamma` at each of some points of the run: the schedule of AlexNet and ResNet.

    Paper: He et al., 2015, https://arxiv.org/abs/1512.03385
    Example: `train: {schedule: {type: step, at: [0.5, 0.75], gamma: 0.1}}`
    """

    type: Literal["step"] = "step"
    at: list[Annotated[float, Field(ge=0, le=1)]] = Field(default=[0.5, 0.75], min_length=1, max_length=1000)
    """Shares of the run at which the rate falls, from 0 to 1."""
    gamma: float = Field(0.1, gt=0, le=1)
    """Factor of each fall."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the run over which the rate rises from 0."""

    def factor(self, progress: float, history: Sequence[Mapping[str, Any]] = ()) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        return self.gamma ** sum(progress >= point for point in self.at)
