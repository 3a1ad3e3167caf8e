"""The outputs' own losses, against what the table says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from dapeng.core.kinds import ObjectiveOptions, objectives
from dapeng.models.model import Model
from dapeng.objectives.base import Objective


@objectives
class Supervised(ObjectiveOptions):
    """Each output's loss, weighted as the outputs say.

    Example: `train: {phases: [{objective: supervised, epochs: 10}]}`
    """

    type: Literal["supervised"] = "supervised"

    def build(
        self, model: Model, weights: dict[str, float] | None = None, columns: Mapping[str, Any] | None = None
    ) -> Objective:
        return Objective(model, weights)
