"""What decoders share that are taught by a critic: noise and what the inputs say become a picture at one look."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.kinds import DecoderOptions
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.nn.features import Features, Widths
from dapeng.nn.noise import row_normal


class PlayingOptions(DecoderOptions):
    """Options of a decoder whose pictures a critic judges in training."""

    fits: ClassVar[tuple[str, ...]] = ("image",)
    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    alone: ClassVar[bool] = True
    phase: ClassVar[dict[str, Any]] = {}
    """The phase that teaches it where the spec names none."""
    noise: int = Field(64, ge=1, le=65_536)
    """Numbers that a picture is made from, beside what the inputs say."""
    truncation: float = Field(1.0, gt=0, le=1)
    """Factor of that noise where pictures are drawn after training: below 1 they are surer and less different (Brock et al., 2018,
    https://arxiv.org/abs/1809.11096)."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of that noise: each row of the data has its own, and the same seed gives the same pictures."""

    def generator(self, shape: tuple[int, int, int], condition: int | None) -> nn.Module:
        """(noise (B, Z), condition (B, K) or None) -> pictures (B, C, Y, X), about -1 to 1."""
        raise NotImplementedError

    def critic(self, shape: tuple[int, int, int], condition: int | None) -> nn.Module:
        """(pictures (B, C, Y, X), condition (B, K) or None) -> (B,) how real they look."""
        raise NotImplementedError

    def build(self, column: Any, widths: Widths | None, tables: Any, loss: Any) -> PlayingDecoder:
        return PlayingDecoder(column, widths, self)


class PlayingDecoder(Decoder):
    """Target: pixels (B, C, Y, X) uint8. An element is a row. What is good is for the critic to say (`dapeng.objectives.adversarial`)."""

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    draws: ClassVar[bool] = True
    takes: ClassVar[frozenset[str]] = frozenset({"seed", "truncation"})

    def __init__(self, column: Any, widths: Widths | None, o: PlayingOptions):
        super().__init__()
        self.o, self.shape, self.phase = o, column.shape, o.phase
        self.width = None if widths is None else widths.pooled
        self.generator = o.generator(self.shape, self.width)

    def critic(self) -> nn.Module:
        """A new critic of its pictures; it is no part of the decoder."""
        return self.o.critic(self.shape, self.width)

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["pixels"].shape[0])

    def condition(self, features: Features | None) -> Tensor | None:
        """(B, K); of several members of an ensemble their mean."""
        if features is None or features.pooled is None:
            return None
        return features.pooled if features.pooled.dim() == 2 else features.pooled.mean(1)

    def real(self, target: Cells) -> Tensor:
        """(B, C, Y, X) from -1 to 1."""
        return target["pixels"].float() / 127.5 - 1

    def draw(self, condition: Tensor | None, size: int) -> Tensor:
        """Pictures (B, C, Y, X) from fresh noise, in training."""
        noise = torch.randn(size, self.o.noise, device=next(self.parameters()).device)
        return self.generator(noise, condition)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        """How far the pixels are from the true ones: what a supervised phase before the game would teach, and all that can be said without a critic."""
        x = self.real(target)
        drawn = self._drawn(features, torch.arange(x.shape[0], device=x.device), None)
        return where_present((drawn - x).square().mean((1, 2, 3)), target)

    def _drawn(self, features: Features | None, rows: Tensor, seed: int | None, truncation: float = 1.0) -> Tensor:
        noise = row_normal(rows, (self.o.noise,), self.o.seed if seed is None else seed)
        return self.generator(noise * truncation, self.condition(features))

    def predict(
        self,
        features: Features | None,
        size: int,
        rows: Tensor | None = None,
        seed: int | None = None,
        truncation: float | None = None,
        **options: Any,
    ) -> dict[str, Tensor]:
        """{"drawn": (B, C, Y, X)} between -1 and 1. rows: (B,) of which the noise is a function, with the seed."""
        rows = torch.arange(size, device=next(self.parameters()).device) if rows is None else rows
        factor = self.o.truncation if truncation is None else truncation
        return {"drawn": self._drawn(features, rows, seed, factor).clamp(-1, 1)}

    def judged(self, features: Features | None, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        loss = self.loss(features, target)
        return loss, {"error": loss}
