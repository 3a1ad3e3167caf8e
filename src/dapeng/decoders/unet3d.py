"""Label volumes by a residual U-Net in three dimensions.

Cicek et al.: 3D U-Net, 2016 (https://arxiv.org/abs/1606.06650). The way up is as fine as the encoder's maps, whatever axes these halve.

Legend: B rows, A labels, C channels, Z Y X volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.columns.mask import VOID
from dapeng.columns.volume import ROWS
from dapeng.core.kinds import DecoderOptions, NormOptions, decoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder, rows_present, where_present
from dapeng.nn.features import Features, Widths
from dapeng.nn.label_losses import label_loss
from dapeng.nn.volumes import Residual3d, kernel, moved_labels


@decoders
class Unet3d(DecoderOptions):
    """A residual U-Net over volumes: the encoder's maps from coarse to fine, each joined with the next.

    Paper: Cicek et al., 2016, https://arxiv.org/abs/1606.06650
    Example: `outputs: {organs: {type: volume_mask, decoder: {type: unet3d, dice: 2}}}`
    """

    type: Literal["unet3d"] = "unet3d"
    fits: ClassVar[tuple[str, ...]] = ("volume_mask",)
    needs: ClassVar[frozenset[str]] = frozenset({"maps"})
    dice: float = Field(1.0, ge=0)
    """Weight of Dice."""
    cross_entropy: float = Field(1.0, ge=0)
    """Weight of the cross-entropy."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Of whole channels of the coarsest map."""
    norm: Annotated[NormOptions, norms.choice("maps", default="group")] = DEFAULT
    """Batches of volumes are small: rows don't see each other."""

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 100 if rows < 200 else 40, "batch_size": 2, "learning_rate": 2e-3}

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> Unet3dDecoder:
        return Unet3dDecoder(column, widths, self)


class Up(nn.Module):
    """A coarse map (B, C, Z, Y, X) and a finer one (B, D, Z', Y', X') -> (B, D, Z', Y', X')."""

    def __init__(self, coarse: int, fine: int, norm: Any, size: tuple[int, ...]):
        super().__init__()
        self.narrow = nn.Conv3d(coarse, fine, 1)
        self.join = Residual3d(2 * fine, fine, norm, size)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        wide = F.interpolate(self.narrow(coarse), size=fine.shape[2:], mode="trilinear", align_corners=False)
        return self.join(torch.cat([wide, fine], 1))


class Unet3dDecoder(Decoder):
    """Target: codes (B, Z, Y, X) of labels, 255 where nothing is said, and the affine (B, 7, 4) that brought them to size. An element is a row."""

    needs: ClassVar[frozenset[str]] = frozenset({"maps"})

    def __init__(self, column: Any, widths: Widths, o: Unet3d):
        super().__init__()
        self.o, self.labels, self.frame = o, len(column.labels), column.frame
        channels, size = [c for c, _ in widths.maps], kernel(tuple(column.state.get("spacing", (1.0, 1.0, 1.0))))
        self.drop = nn.Dropout3d(o.dropout) if o.dropout else nn.Identity()
        self.ups = nn.ModuleList(Up(c, f, o.norm, size) for c, f in zip(channels[:0:-1], channels[-2::-1]))
        self.head = nn.Conv3d(channels[0], self.labels, 1)

    def last(self) -> Iterator[nn.Parameter]:
        yield from self.head.parameters()

    def count(self, target: Cells) -> Tensor | int:
        return rows_present(target, target["codes"].shape[0])

    def logits(self, features: Features | None) -> Tensor:
        """(B, A, Z, Y, X)."""
        assert features is not None
        x = self.drop(features.maps[-1])
        for up, fine in zip(self.ups, reversed(features.maps[:-1])):
            x = up(x, fine)
        return self.head(x).float()

    def wanted(self, features: Any, target: Cells, like: Tensor) -> Tensor:
        """(B, Z, Y, X) true codes, moved as the volume was since both were brought to size."""
        if features.affine is None:
            return target["codes"].long()
        first, now = (a[:, :3].float() for a in (target["affine"], features.affine))
        return moved_labels(target["codes"], first, now, tuple(like.shape[2:]), VOID)

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        return self.judged(features, target, 0)[0]

    def predict(self, features: Features | None, size: int, **options: Any) -> dict[str, Tensor]:
        return self._told(features, self.logits(features))

    def judged(self, features: Features | None, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.logits(features)
        each = label_loss(logits, self.wanted(features, target, logits), VOID, self.o.cross_entropy, self.o.dice)
        return where_present(each, target), self._told(features, logits)

    def _told(self, features: Any, logits: Tensor) -> dict[str, Tensor]:
        affine = features.affine
        if affine is None:
            affine = torch.eye(ROWS, 4, device=logits.device).expand(logits.shape[0], ROWS, 4)
        return {"probabilities": logits.softmax(1), "affine": affine}
