"""Label pictures by a residual U-Net over the maps of any picture encoder.

Ronneberger et al.: U-Net, 2015 (https://arxiv.org/abs/1505.04597). Dice beside cross-entropy: Milletari et al.: V-Net, 2016
(https://arxiv.org/abs/1606.04797); both are taken row by row, so that rows can be accumulated and weighed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from dapeng.columns.mask import VOID
from dapeng.core.kinds import DecoderOptions, NormOptions, decoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.nn.features import Features, Widths
from dapeng.nn.label_losses import label_loss
from dapeng.nn.unet import UpPath, warped


@decoders
class Unet(DecoderOptions):
    """A residual U-Net: the encoder's maps from coarse to fine, each joined with the next.

    Paper: Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597
    Example: `outputs: {tissue: {type: mask, decoder: {type: unet, width: 32}}}`
    """

    type: Literal["unet"] = "unet"
    fits: ClassVar[tuple[str, ...]] = ("mask",)
    needs: ClassVar[frozenset[str]] = frozenset({"maps"})
    width: int | Literal["auto"] = Field("auto", ge=1, le=4096)
    """Channels of the finest map; coarser ones have as many as the encoder's. auto: as many as the encoder's finest."""
    dice: float = Field(1.0, ge=0)
    """Weight of Dice."""
    cross_entropy: float = Field(1.0, ge=0)
    """Weight of the cross-entropy."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Of whole channels of the coarsest map."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 100 if rows < 1_000 else 40, "batch_size": 4 if rows < 1_000 else 8, "learning_rate": 2e-3}

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> UnetDecoder:
        return UnetDecoder(column, widths, self)


class UnetDecoder(Decoder):
    """Target: codes (B, Y, X) of labels, 255 where nothing is said, and the affine (B, 2, 3) that brought them to size. An element is a row."""

    needs: ClassVar[frozenset[str]] = frozenset({"maps"})

    def __init__(self, column: Any, widths: Widths, o: Unet):
        super().__init__()
        self.o, self.labels, self.frame = o, len(column.labels), column.frame
        finer = [channels for channels, _ in widths.maps[:-1]]
        if o.width != "auto" and finer:
            finer[0] = o.width
        self.path = UpPath(widths.maps, finer, self.labels, o.norm, o.dropout)

    def last(self) -> Iterator[nn.Parameter]:
        yield from self.path.head.parameters()

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["codes"].shape[0])

    def logits(self, features: Features | None) -> Tensor:
        """(B, A, Y, X); what the coarse maps have beyond the picture is cut off."""
        assert features is not None
        x = self.path(features.maps).float()
        return x[:, :, : self.frame[0], : self.frame[1]]

    def wanted(self, features: Any, target: Cells, like: Tensor) -> Tensor:
        """(B, Y, X) true codes, moved as the picture was since both were brought to size."""
        if features.affine is None:
            return target["codes"].long()
        moved = torch.zeros_like(features.affine)
        first, now = target["affine"].float(), features.affine.float()
        moved[:, :, :2] = now[:, :, :2] @ torch.linalg.inv(first[:, :, :2])
        moved[:, :, 2] = now[:, :, 2] - (moved[:, :, :2] @ first[:, :, 2:])[..., 0]
        return warped(target["codes"], moved, like.shape[2], like.shape[3], VOID)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        logits = self.logits(features)
        return where_present(self._loss(logits, self.wanted(features, target, logits)), target)

    def _loss(self, logits: Tensor, wanted: Tensor) -> Tensor:
        return label_loss(logits, wanted, VOID, self.o.cross_entropy, self.o.dice)

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        return self._told(features, self.logits(features))

    def judged(self, features: Features | None, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.logits(features)
        loss = where_present(self._loss(logits, self.wanted(features, target, logits)), target)
        return loss, self._told(features, logits)

    def _told(self, features: Any, logits: Tensor) -> dict[str, Tensor]:
        affine = features.affine
        if affine is None:
            affine = torch.eye(2, 3, device=logits.device).expand(logits.shape[0], 2, 3)
        return {"probabilities": logits.softmax(1), "affine": affine}
