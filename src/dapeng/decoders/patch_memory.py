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
from torch import Tensor, nn

from dapeng.core.kinds import DecoderOptions, NormOptions, decoders, norms
from dapeng.core.registry import DEFAULT
from dapeng.data.batch import Cells
from dapeng.decoders.autoencoder import Redrawing, taught
from dapeng.nn.anomaly import coreset, nearest, patches_of, reaches, smoothed
from dapeng.nn.features import Features, Widths

POOL = 100_000
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
    apart: bool = False
    """A memory of this size for each map that is looked at, with the distances added up; in place of one for all maps, side by side."""
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


class Memory(nn.Module):
    """Patches (M, D) that are remembered, of the levels of a pyramid of maps that are looked at side by side."""

    memory: Tensor
    reach: Tensor
    middle: Tensor
    scale: Tensor

    def __init__(self, size: int, levels: list[int], dim: int):
        super().__init__()
        self.levels = levels
        self.register_buffer("memory", torch.zeros(size, dim))
        self.register_buffer("reach", torch.ones(size))
        self.register_buffer("middle", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self._pool: list[Tensor] = []
        self._keys: list[Tensor] = []

    def far(self, maps: tuple[Tensor, ...]) -> Tensor:
        """(B, Y, X) how far the patches of the finest of its maps lie from the memory, each number with mean 0 and deviation 1 in training."""
        patches = (patches_of(maps, self.levels).float() - self.middle) * self.scale
        return nearest(patches, self.memory, self.reach).unflatten(1, maps[self.levels[0]].shape[2:])

    def keep(self, maps: tuple[Tensor, ...], good: Tensor, seed: int) -> None:
        """Keep some patches of the good rows of a batch: of all that are shown, each is as likely kept."""
        found = patches_of(maps, self.levels).float()[good].flatten(0, 1).cpu()
        self._pool.append(found)
        self._keys.append(torch.rand(len(found), generator=torch.Generator().manual_seed(seed)))
        if sum(map(len, self._keys)) > POOL + POOL // 8:  # not batch by batch: the whole pool is written anew
            self._thin()

    def _thin(self) -> None:
        pool, keys = torch.cat(self._pool), torch.cat(self._keys)
        kept = keys.argsort()[:POOL]
        self._pool, self._keys = [pool[kept]], [keys[kept]]

    def choose(self) -> bool:
        """Choose, of what was kept, what is remembered; whether there was any."""
        if not sum(map(len, self._pool)):
            return False
        self._thin()
        pool = self._pool[0]
        self._pool, self._keys = [], []
        device = self.memory.device
        self.middle.copy_(pool.mean(0))
        self.scale.copy_(1 / pool.std(0, correction=0).clamp(min=1e-4))
        pool = (pool - self.middle.cpu()) * self.scale.cpu()
        chosen = coreset(pool, len(self.memory), 0)
        # fewer patches than places: some lie there twice, which changes no distance
        places = torch.arange(len(self.memory)) % len(chosen)
        self.memory.copy_(chosen[places].to(device))
        self.reach.copy_(reaches(pool, chosen)[places].to(device))
        return True


class PatchMemoryDecoder(Redrawing):
    """maps (B, C_i, Y_i, X_i) -> score (B,), heat (B, Y, X). Memories are filled once training has ended (`remember`, `remembered`)."""

    earlier: ClassVar[dict[str, str]] = {n: f"memories.0.{n}" for n in ("memory", "reach", "middle", "scale")}
    """What weights were called when there was one memory."""
    filled: Tensor

    def __init__(self, column: Any, widths: Widths, o: PatchMemory):
        super().__init__(column, widths, o.norm)
        levels = _levels(widths, o.strides)
        groups = [[i] for i in levels] if o.apart else [levels]
        self.smooth = o.smooth
        self.memories = nn.ModuleList(Memory(o.size, g, sum(widths.maps[i][0] for i in g)) for g in groups)
        self.register_buffer("filled", torch.zeros(()))

    def heat(self, features: Features, errors: Tensor) -> Tensor:
        """Distances from the memories; as long as they are empty, errors of what is drawn again."""
        size = errors.shape[1:]
        every = [memory.far(features.maps)[:, None] for memory in self._each()]
        same = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in every]
        far = torch.cat(same, 1).sum(1)
        return smoothed(torch.where(self.filled > 0, far, errors), self.smooth)

    def remember(self, features: Any, target: Cells, seed: int) -> None:
        for memory in self._each():
            memory.keep(features.maps, taught(target), seed)

    def remembered(self) -> None:
        found = [memory.choose() for memory in self._each()]
        if all(found):
            self.filled.fill_(1.0)

    def _each(self) -> list[Memory]:
        return [m for m in self.memories if isinstance(m, Memory)]


def _levels(widths: Widths, asked: list[int] | str) -> list[int]:
    """Which maps are looked at, the finest first."""
    strides = [s for _, s in widths.maps]
    wanted = [8, 16] if isinstance(asked, str) else asked
    found = [i for i, s in enumerate(strides) if s in wanted]
    return found or list(range(len(strides)))[:2]
