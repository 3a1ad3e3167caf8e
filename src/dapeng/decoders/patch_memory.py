"""Anomalies by a memory of good patches: how far each patch of a picture is from the closest one that was ever seen in a good picture.

Roth et al.: Towards Total Recall in Industrial Anomaly Detection (PatchCore), 2021 (https://arxiv.org/abs/2106.08265). Features come from any
encoder of pictures: with public weights, or trained here, on good pictures alone, by drawing them again.

Legend: B rows, P patches, M remembered patches, D width.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from dapeng.core.kinds import DecoderOptions, NormOptions, decoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.decoders.autoencoder import Redrawing, taught
from dapeng.nn.anomaly import coreset, nearest, patches_of, reaches, smoothed
from dapeng.nn.features import Features, Widths

POOL = 40_000
"""Patches of the training rows that are drawn at random, out of which those that are remembered are chosen."""


@decoders
class PatchMemory(DecoderOptions):
    """Remembers patches of good pictures, as the encoder's maps show them, and measures how far those of a new picture are from them.

    Paper: Roth et al., 2021, https://arxiv.org/abs/2106.08265
    Example: `outputs: {fault: {type: anomaly, decoder: {type: patch_memory, size: 2000, strides: [8, 16]}}}`
    """

    type: Literal["patch_memory"] = "patch_memory"
    fits: ClassVar[tuple[str, ...]] = ("anomaly",)
    needs: ClassVar[frozenset[str]] = frozenset({"maps"})
    size: int = Field(1000, ge=1, le=100_000)
    """Patches that are remembered: those that leave no other far off."""
    strides: list[int] | Literal["auto"] = "auto"
    """Pixels from place to place of the maps that are looked at. auto: 8 and 16 where there are such, else the finest two."""
    smooth: float = Field(2.0, gt=0, le=64)
    """Deviation in pixels of the Gaussian under which distances are looked at."""
    norm: Annotated[NormOptions, norms.choice("maps", default="batch")] = DEFAULT
    """Of the layers that draw pictures again, by which an encoder without public weights learns."""

    def advice(self, rows: int) -> dict[str, Any]:
        return {"epochs": 20 if rows < 1_000 else 10, "batch_size": 16, "learning_rate": 2e-3}

    def build(self, column: Any, widths: Widths, tables: Any, loss: Any) -> PatchMemoryDecoder:
        return PatchMemoryDecoder(column, widths, self)


class PatchMemoryDecoder(Redrawing):
    """maps (B, C_i, Y_i, X_i) -> score (B,), heat (B, Y, X). The memory is filled once training has ended (`remember`, `remembered`)."""

    memory: Tensor
    reach: Tensor
    middle: Tensor
    scale: Tensor
    filled: Tensor

    def __init__(self, column: Any, widths: Widths, o: PatchMemory):
        super().__init__(column, widths, o.norm)
        self.smooth, self.levels = o.smooth, _levels(widths, o.strides)
        dim = sum(widths.maps[i][0] for i in self.levels)
        self.register_buffer("memory", torch.zeros(o.size, dim))
        self.register_buffer("reach", torch.ones(o.size))
        self.register_buffer("middle", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("filled", torch.zeros(()))
        self._pool: list[Tensor] = []
        self._keys: list[Tensor] = []

    def patches(self, features: Features) -> Tensor:
        """(B, P, D), each number to mean 0 and deviation 1 in training."""
        return (patches_of(features.maps, self.levels).float() - self.middle) * self.scale

    def heat(self, features: Features, errors: Tensor) -> Tensor:
        """Distances from the memory; as long as it is empty, errors of what is drawn again."""
        size = features.maps[self.levels[0]].shape[2:]
        far = nearest(self.patches(features), self.memory, self.reach).unflatten(1, size)
        far = F.interpolate(far[:, None], size=errors.shape[1:], mode="bilinear", align_corners=False)[:, 0]
        return smoothed(torch.where(self.filled > 0, far, errors), self.smooth)

    def remember(self, features: Any, target: Cells, seed: int) -> None:
        """Keep some patches of the good rows of a batch: of all that are shown, each is as likely kept."""
        found = patches_of(features.maps, self.levels).float()[taught(target)].flatten(0, 1).cpu()
        draw = torch.Generator().manual_seed(seed)
        self._pool.append(found)
        self._keys.append(torch.rand(len(found), generator=draw))
        pool, keys = torch.cat(self._pool), torch.cat(self._keys)
        kept = keys.argsort()[:POOL]
        self._pool, self._keys = [pool[kept]], [keys[kept]]

    def remembered(self) -> None:
        """Choose, of what was kept, what is remembered."""
        pool = torch.cat(self._pool) if self._pool else torch.zeros(0, self.memory.shape[1])
        self._pool, self._keys = [], []
        if not len(pool):
            return
        device = self.memory.device
        self.middle.copy_(pool.mean(0))
        self.scale.copy_(1 / pool.std(0, correction=0).clamp(min=1e-4))
        pool = (pool - self.middle.cpu()) * self.scale.cpu()
        chosen = coreset(pool, len(self.memory), 0)
        # fewer patches than places: some lie there twice, which changes no distance
        places = torch.arange(len(self.memory)) % len(chosen)
        self.memory.copy_(chosen[places].to(device))
        self.reach.copy_(reaches(pool, chosen)[places].to(device))
        self.filled.fill_(1.0)


def _levels(widths: Widths, asked: list[int] | str) -> list[int]:
    """Which maps are looked at, the finest first."""
    strides = [s for _, s in widths.maps]
    wanted = [8, 16] if isinstance(asked, str) else asked
    found = [i for i, s in enumerate(strides) if s in wanted]
    return found or list(range(len(strides)))[:2]
