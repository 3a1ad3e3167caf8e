"""What decoders that make sounds share: how their target and their answer look."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dapeng.core.kinds import DecoderOptions
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder


class SoundingOptions(DecoderOptions):
    """Options of a decoder of sounds."""

    fits: ClassVar[tuple[str, ...]] = ("audio",)


class SoundingDecoder(Decoder):
    """Target: samples (B, T) int16 and which are real (B, T). An element is a row.

    Predictions: samples (B, most) float, 16-bit values; length (B,); misfit (B,), the loss where the truth is at hand.
    """

    sees_target: ClassVar[bool] = True
    searches: ClassVar[bool] = True

    def __init__(self, column: Any):
        super().__init__()
        self.most: int = column.most

    def count(self, target: Cells) -> Tensor | int:
        return target["mask"].any(1).float() if target.present is None else target.present.float()

    def misfit(self, features: Any, target: Cells) -> Tensor:
        """(B,) how far the truth is from what would be made."""
        raise NotImplementedError

    def made(self, features: Any, size: int) -> tuple[Tensor, Tensor]:
        """Samples (B, T), 16-bit values, and how many of them are the sound (B,)."""
        raise NotImplementedError

    def loss(self, features: Any, target: Cells) -> Tensor:
        return self._counted(self.misfit(features, target), target)

    def _counted(self, loss: Tensor, target: Cells) -> Tensor:
        there = target["mask"].any(1) if target.present is None else target.present
        return torch.where(there, loss, torch.zeros_like(loss))

    def predict(self, features: Any, size: int, target: Cells | None = None, **options: Any) -> dict[str, Tensor]:
        samples, length = self.made(features, size)
        samples = F.pad(samples, (0, max(0, self.most - samples.shape[1])))[:, : self.most]
        misfit = samples.new_zeros(len(samples)) if target is None else self.loss(features, target).float()
        return {
            "samples": samples.round().clamp(-32768, 32767),
            "length": length.clamp(max=self.most).float(),
            "misfit": misfit,
        }

    def judged(self, features: Any, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss alone: a sound takes longer to make than many to judge."""
        loss = self.loss(features, target)
        nothing = {"samples": torch.zeros(size, 1), "length": torch.zeros(size)}
        return loss, {**nothing, "misfit": loss.float()}


def general(features: Any) -> Tensor:
    """(B, D) of what all inputs say; of an ensemble's members their mean."""
    assert features is not None
    assert features.pooled is not None
    return features.pooled if features.pooled.dim() == 2 else features.pooled.mean(1)
