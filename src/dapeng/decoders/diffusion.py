"""Pictures by diffusion: noise is taken away along a path that keeps the variance."""

from __future__ import annotations

from typing import Literal

from dapeng.core.kinds import decoders
from dapeng.decoders.drawing import DrawingOptions
from dapeng.nn.paths import Arc, Path


@decoders
class Diffusion(DrawingOptions):
    """Draws pictures from noise by diffusion, with the cosine schedule and the velocity as what is learnt.

    Paper: Ho et al., 2020, https://arxiv.org/abs/2006.11239; Salimans and Ho, 2022, https://arxiv.org/abs/2202.00512
    Example: `outputs: {digit: {type: image, decoder: {type: diffusion, steps: 20}}}`
    """

    type: Literal["diffusion"] = "diffusion"

    def path(self) -> Path:
        return Arc()
