"""What decoders of pictures out of noise share: the loss of a noisy picture, and drawing in few steps with guidance.

Guidance without a classifier: Ho, Salimans, 2022 (https://arxiv.org/abs/2207.12598). Times by a logistic normal: Esser et al., 2024
(https://arxiv.org/abs/2403.03206).

Legend: B rows, C channels, Y X picture, D width of the condition.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import DecoderOptions, DenoiserOptions, denoisers
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.nn.features import Features, Widths
from dapeng.nn.noise import row_normal
from dapeng.nn.paths import SOLVERS, Path, Velocity, even_times

PLACE = 7
"""Beside the seed, in the draws of rows that are judged."""


class DrawingOptions(DecoderOptions):
    """Options of a decoder that walks from noise to a picture; under what the inputs say, if there are any."""

    fits: ClassVar[tuple[str, ...]] = ("image",)
    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    alone: ClassVar[bool] = True
    tiny: ClassVar[dict[str, Any]] = {"denoiser": {"type": "unet", "width": 16, "blocks": 1}}
    denoiser: Annotated[DenoiserOptions, denoisers.choice(default="unet")] = DEFAULT
    """The network that looks at noisy pictures."""
    steps: int = Field(12, ge=1, le=10_000)
    """Steps from noise to a picture."""
    solver: Literal["dpm", "heun", "euler"] = "dpm"
    """How steps are made: dpm (DPM-Solver++(2M)) and euler look once a step, heun twice."""
    guidance: float = Field(1.0, ge=0, le=100)
    """How far pictures are pushed towards what the inputs say, away from what is drawn without them: 1 not at all, and then a step costs half."""
    unguided: float = Field(0.1, ge=0, lt=1)
    """Share of the training rows that are learnt without what the inputs say; guidance lives from it."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the noise that pictures are drawn from: each row of the data has its own, and the same seed gives the same pictures."""

    def advice(self, rows: int) -> dict[str, Any]:
        epochs = 400 if rows < 1_000 else 100 if rows < 10_000 else 20 if rows < 100_000 else 4
        return {"epochs": epochs, "batch_size": 32 if rows < 1_000 else 128, "learning_rate": 2e-3, "ema": 0.999}

    def path(self) -> Path:
        """From noise to pictures."""
        raise NotImplementedError

    def build(self, column: Any, widths: Widths | None, tables: Any, loss: Any) -> DrawingDecoder:
        return DrawingDecoder(column, widths, self)


class DrawingDecoder(Decoder):
    """Target: pixels (B, C, Y, X) uint8. An element is a row; its loss is the mean over its pixels."""

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    draws: ClassVar[bool] = True
    takes: ClassVar[frozenset[str]] = frozenset({"seed", "steps", "guidance"})
    fills: ClassVar[bool] = True
    """It can draw what is missing of a picture."""

    def __init__(self, column: Any, widths: Widths | None, o: DrawingOptions):
        super().__init__()
        self.o, self.shape, self.path = o, column.shape, o.path()
        width = None if widths is None else widths.pooled
        self.denoiser = o.denoiser.build(column.shape, width)
        self.nothing = nn.Parameter(torch.zeros(width)) if width is not None and o.unguided else None

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["pixels"].shape[0])

    def condition(self, features: Features | None) -> Tensor | None:
        """(B, D); of several members of an ensemble their mean."""
        if features is None or features.pooled is None:
            return None
        return features.pooled if features.pooled.dim() == 2 else features.pooled.mean(1)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        x = target["pixels"].float() / 127.5 - 1
        t, noise, without = self._drawn(x)
        condition = self.condition(features)
        if condition is not None and self.nothing is not None:
            condition = torch.where(without[:, None], self.nothing.to(condition.dtype), condition)
        share = t[:, None, None, None]
        noisy = self.path.alpha(share) * x + self.path.sigma(share) * noise
        said = self.denoiser(noisy, t, condition).float()
        return where_present((said - self.path.wanted(x, noise, share)).square().mean((1, 2, 3)), target)

    def _drawn(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A time (B,), noise like x, and whether the condition is left out (B,); of rows that are judged always the same."""
        size = x.shape[0]
        if self.training:
            t, noise = torch.randn(size, device=x.device).sigmoid(), torch.randn_like(x)
            return t, noise, torch.rand(size, device=x.device) < self.o.unguided
        places = torch.arange(size, device=x.device)
        noise = row_normal(places, self.shape, PLACE)
        t = ((places + 0.5) * 0.618034) % 1  # evenly spread, whatever the number of rows
        return t, noise, torch.zeros_like(places, dtype=torch.bool)

    def predict(
        self,
        features: Features | None,
        size: int,
        rows: Tensor | None = None,
        seed: int | None = None,
        guidance: float | None = None,
        steps: int | None = None,
        known: Tensor | None = None,
        keep: Tensor | None = None,
        **options: Any,
    ) -> dict[str, Tensor]:
        """{"drawn": (B, C, Y, X)} between -1 and 1. rows: (B,) of which the noise is a function, with the seed.

        known, keep: of every row that is asked about pictures (N, C, Y, X) between -1 and 1, and where they stay, (N, 1, Y, X).
        """
        device = next(self.parameters()).device
        rows = torch.arange(size, device=device) if rows is None else rows
        noise = row_normal(rows, self.shape, self.o.seed if seed is None else seed)
        condition, scale = self.condition(features), self.o.guidance if guidance is None else guidance

        def guided(x: Tensor, t: float) -> Tensor:
            at = torch.full_like(x[:, 0, 0, 0], t)
            if condition is None or self.nothing is None or scale == 1.0:
                return self.denoiser(x, at, condition).float()
            both = torch.cat([condition, self.nothing.to(condition.dtype).expand_as(condition)])
            said, alone = self.denoiser(torch.cat([x, x]), torch.cat([at, at]), both).float().chunk(2)
            return alone + scale * (said - alone)

        velocity = guided
        if known is not None and keep is not None:
            at = rows - options.get("first", 0)
            velocity = self._around(guided, known[at], keep[at])
        solve = SOLVERS[self.o.solver]
        return {"drawn": solve(self.path, velocity, noise, even_times(steps or self.o.steps)).clamp(-1, 1)}

    def _around(self, velocity: Velocity, known: Tensor, keep: Tensor) -> Velocity:
        """The same, but what is known of the pictures is where every step leads: the rest is drawn to go with it (inpainting)."""

        def said(x: Tensor, t: float) -> Tensor:
            clean = torch.where(keep, known, self.path.clean(x, velocity(x, t), t))
            return self.path.leads_to(x, clean, t)

        return said

    def judged(self, features: Features | None, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Of rows that validate the loss alone: drawing them would take many looks a row."""
        loss = self.loss(features, target)
        return loss, {"error": loss}
