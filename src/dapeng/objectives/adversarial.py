"""Two players: a critic learns to tell drawn pictures from real ones, and the network to be taken for real.

Goodfellow et al.: Generative Adversarial Nets, 2014 (https://arxiv.org/abs/1406.2661). Pairs of a real and a drawn picture: Jolicoeur-
Martineau, 2018 (https://arxiv.org/abs/1807.00734); with zero-centred penalties at both the game converges: Huang et al.: R3GAN, 2025
(https://arxiv.org/abs/2501.05441), after Mescheder et al., 2018 (R1, R2; https://arxiv.org/abs/1801.04406).

Legend: B rows, C channels, Y X picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import ObjectiveOptions, objectives
from dapeng.data.batch import Batch
from dapeng.data.feed import weight_of
from dapeng.decoders.base import where_present
from dapeng.models.model import Model
from dapeng.nn.players import still
from dapeng.nn.tables import Modules
from dapeng.objectives.base import Objective

CRITIC, GENERATOR = "critic", "generator"


@objectives
class Adversarial(ObjectiveOptions):
    """A game of two: each step first the critic learns, then what draws; other outputs are taught beside it as always.

    Paper: Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661; Huang et al., 2025, https://arxiv.org/abs/2501.05441
    Example: `train: {phases: [{objective: {type: adversarial, real_penalty: 2.0}, optimiser: {type: adam, betas: [0.0, 0.99]}}]}`
    """

    type: Literal["adversarial"] = "adversarial"
    judged: ClassVar[bool] = False
    teaches: ClassVar[bool] = True
    game: Literal["relativistic", "classic", "hinge"] = "relativistic"
    """relativistic: a real picture is to look more real than the drawn one of its row. classic: each by itself, as in 2014 (without
    saturation). hinge: each by itself, up to a margin."""
    real_penalty: float = Field(1.0, ge=0, le=1e6)
    """Weight of half the critic's squared slope at real pictures (R1)."""
    drawn_penalty: float = Field(1.0, ge=0, le=1e6)
    """Weight of half the critic's squared slope at drawn pictures (R2)."""

    def build(
        self, model: Model, weights: dict[str, float] | None = None, columns: Mapping[str, Any] | None = None
    ) -> Objective:
        names = [n for n, d in model.decoders.items() if hasattr(d, "critic")]
        if not names:
            what = "adversarial needs an output whose decoder has a critic, and there is none"
            hint = "outputs.NAME={type: image, decoder: r3gan}, or another objective"
            raise SpecError(Problem("train.phases.objective", what, hint))
        return Game(model, names, self, weights)


class Game(Objective):
    """The critics belong to the objective alone: the model that is kept doesn't hold them."""

    turns = (CRITIC, GENERATOR)

    def __init__(self, model: Model, names: list[str], o: Adversarial, weights: dict[str, float] | None = None):
        super().__init__(model, weights)
        self.o = o
        self.critics: Modules[nn.Module] = Modules({n: model.decoders[n].critic() for n in names})  # type: ignore[operator]

    def trainable(self, turn: str) -> list[nn.Parameter]:
        return list(self.critics.parameters()) if turn == CRITIC else super().trainable(turn)

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        every = super().counts(batch, turn)
        return {n: c for n, c in every.items() if turn == GENERATOR or n in self.critics}

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        losses = self._critic(batch) if turn == CRITIC else self._generator(batch)
        weight = weight_of(batch)
        return losses if weight is None else {n: loss * weight for n, loss in losses.items()}

    def _read(self, batch: Batch) -> dict[str, Any]:
        """What each decoder reads."""
        parts = self.model.encode(batch)
        fused = self.model.fusion(parts) if self.model.fusion is not None else None
        return {n: self.model.read_by(d, parts, fused) for n, d in self.model.decoders.items()}

    def _critic(self, batch: Batch) -> dict[str, Tensor]:
        """(B,) of each critic: how badly it tells drawn from real, and its slopes at both."""
        out = {}
        with torch.no_grad():
            read = self._read(batch)
        for name, critic in self.critics.items():
            decoder: Any = self.model.decoders[name]
            with torch.no_grad():
                condition = decoder.condition(read[name])
                drawn, real = decoder.draw(condition, batch.size), decoder.real(batch[name])
            looks = [
                self._look(critic, *pair, condition)
                for pair in ((real, self.o.real_penalty), (drawn, self.o.drawn_penalty))
            ]
            (of_real, slope_real), (of_drawn, slope_drawn) = looks
            loss = critic_loss(self.o.game, of_real, of_drawn) + slope_real + slope_drawn
            out[name] = where_present(loss, batch[name])
        return out

    def _look(self, critic: nn.Module, x: Tensor, penalty: float, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B,) how real pictures look to it, and half its squared slope there, weighed."""
        if not penalty:
            said = critic(x, condition).float()
            return said, torch.zeros_like(said)
        x = x.detach().requires_grad_()
        said = critic(x, condition).float()
        (slope,) = torch.autograd.grad(said.sum(), x, create_graph=True)
        return said, penalty / 2 * slope.float().square().sum((1, 2, 3))

    def _generator(self, batch: Batch) -> dict[str, Tensor]:
        """(B,) how far each drawn picture is from being taken for real; and the losses of outputs without a critic."""
        read, out = self._read(batch), {}
        for name, decoder in self.model.decoders.items():
            if name not in self.critics:
                out[name] = decoder.loss(read[name], batch[name])
                continue
            player: Any = decoder
            condition, critic = player.condition(read[name]), self.critics[name]
            seen = None if condition is None else condition.detach()
            drawn = player.draw(condition, batch.size)
            with still(critic):
                of_drawn = critic(drawn, seen).float()
                with torch.no_grad():
                    of_real = critic(player.real(batch[name]), seen).float()
            out[name] = where_present(generator_loss(self.o.game, of_real, of_drawn), batch[name])
        return out


def critic_loss(game: str, real: Tensor, drawn: Tensor) -> Tensor:
    """(B,) of what the critic says of a real picture and of a drawn one."""
    if game == "relativistic":
        return F.softplus(drawn - real)
    if game == "hinge":
        return F.relu(1 - real) + F.relu(1 + drawn)
    return F.softplus(-real) + F.softplus(drawn)


def generator_loss(game: str, real: Tensor, drawn: Tensor) -> Tensor:
    """(B,) of the same, for what draws."""
    if game == "relativistic":
        return F.softplus(real - drawn)
    return -drawn if game == "hinge" else F.softplus(-drawn)
