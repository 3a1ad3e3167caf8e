"""Pictures by flow matching: straight lines from noise to pictures are learnt, and walked in few steps."""

from __future__ import annotations

from typing import Literal

from dapeng.core.kinds import decoders
from dapeng.decoders.drawing import DrawingOptions
from dapeng.nn.paths import Path, Straight


@decoders
class Flow(DrawingOptions):
    """Draws pictures from noise by flow matching (rectified flow).

    Paper: Lipman et al., 2022, https://arxiv.org/abs/2210.02747; Liu et al., 2022, https://arxiv.org/abs/2209.03003
    Example: `outputs: {digit: {type: image, decoder: {type: flow, steps: 8, guidance: 2.0}}}`
    """

    type: Literal["flow"] = "flow"

    def path(self) -> Path:
        return Straight()
