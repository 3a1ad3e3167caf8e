"""Two players over samples: critics learn to tell made sound from true sound, and a vocoder to be taken for true.

Kong, Kim, Bae: HiFi-GAN, 2020 (https://arxiv.org/abs/2010.05646); its weights of the three losses, 45 for mel bands, 2 for maps and 1 for
the game, are divided by the first, since the loss of the bands stands beside those of durations and of other outputs.

Legend: B rows, T samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import ObjectiveOptions, objectives
from dapeng.data.batch import Batch
from dapeng.data.feed import weight_of
from dapeng.decoders.base import where_present
from dapeng.models.model import Model
from dapeng.nn.hifi_gan import maps_apart, taken_for_true, told_apart
from dapeng.nn.players import still
from dapeng.nn.tables import Modules
from dapeng.objectives.base import Objective

CRITIC, MODEL = "critic", "model"


@objectives
class AdversarialSound(ObjectiveOptions):
    """A game of two over sounds: each step first the critics learn, then the network, by their word beside all that it is taught anyway.

    Paper: Kong, Kim and Bae, 2020, https://arxiv.org/abs/2010.05646
    Example: `train: {phases: [{objective: adversarial_sound, optimiser: {type: adam, betas: [0.8, 0.99]}}]}`
    """

    type: Literal["adversarial_sound"] = "adversarial_sound"
    game: float = Field(1 / 45, ge=0, le=1e6)
    """Weight of being taken for true, beside the distance of the mel bands."""
    maps: float = Field(2 / 45, ge=0, le=1e6)
    """Weight of the distance of the critics' maps of made and true sound."""

    def build(
        self, model: Model, weights: dict[str, float] | None = None, columns: Mapping[str, Any] | None = None
    ) -> Objective:
        players = {n: d.vocoder for n, d in model.decoders.items() if hasattr(getattr(d, "vocoder", None), "critic")}
        if not players:
            what = "adversarial_sound needs an output whose vocoder has critics, and there is none"
            hint = "outputs.NAME={type: audio, decoder: {type: speech, vocoder: gan}}, or another objective"
            raise SpecError(Problem("train.phases.objective", what, hint))
        return SoundGame(model, {n: p.critic() for n, p in players.items()}, self, weights)  # type: ignore[operator]


class SoundGame(Objective):
    """The critics belong to the objective alone: the model that is kept doesn't hold them."""

    turns = (CRITIC, MODEL)

    def __init__(
        self,
        model: Model,
        critics: dict[str, nn.Module],
        o: AdversarialSound,
        weights: dict[str, float] | None = None,
    ):
        super().__init__(model, weights)
        self.o = o
        self.critics: Modules[nn.Module] = Modules(critics)

    def trainable(self, turn: str) -> list[nn.Parameter]:
        return list(self.critics.parameters()) if turn == CRITIC else super().trainable(turn)

    def counts(self, batch: Batch, turn: str) -> dict[str, Tensor | int]:
        every = super().counts(batch, turn)
        return {n: c for n, c in every.items() if turn == MODEL or n in self.critics}

    def forward(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        losses = self._critics(batch) if turn == CRITIC else self._network(batch)
        weight = weight_of(batch)
        return losses if weight is None else {n: loss * weight for n, loss in losses.items()}

    def _tried(self, batch: Batch, every: bool) -> dict[str, Any]:
        """Of each output with critics what was tried; of the others their losses (B,), where they are asked for."""
        parts = self.model.encode(batch)
        fused = self.model.fusion(parts) if self.model.fusion is not None else None
        out: dict[str, Any] = {}
        for name, decoder in self.model.decoders.items():
            read: Any = self.model.read_by(decoder, parts, fused)
            player: Any = decoder
            if name in self.critics:
                out[name] = player.tried(read, batch[name])
            elif every:
                out[name] = decoder.loss(read, batch[name])
        return out

    def _critics(self, batch: Batch) -> dict[str, Tensor]:
        """(B,) how badly the critics of each output tell made sound from true sound."""
        with torch.no_grad():
            tried = self._tried(batch, every=False)
        return {
            n: where_present(told_apart(self.critics[n](t.true), self.critics[n](t.made)), batch[n])
            for n, t in tried.items()
        }

    def _network(self, batch: Batch) -> dict[str, Tensor]:
        """(B,) of each output; with critics also how far it is from being taken for true, and their maps from those of true sound."""
        out = {}
        for name, found in self._tried(batch, every=True).items():
            if name not in self.critics:
                out[name] = found
                continue
            critic = self.critics[name]
            with still(critic):
                made = critic(found.made)
                with torch.no_grad():
                    true = critic(found.true)
            played = self.o.game * taken_for_true(made) + self.o.maps * maps_apart(true, made)
            out[name] = where_present(found.misfit + played, batch[name])
        return out
